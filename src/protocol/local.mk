noinst_LTLIBRARIES += libbl_protocol.la
libbl_protocol_la_SOURCES = \
	src/protocol/commit.c src/protocol/commit.h \
	src/protocol/coordinated.c src/protocol/coordinated.h \
	src/protocol/due.c src/protocol/due.h \
	src/protocol/pace.c src/protocol/pace.h \
	src/protocol/induced.c src/protocol/induced.h \
	src/protocol/msglog.c src/protocol/msglog.h \
	src/protocol/groups.c src/protocol/groups.h
EXTRA_DIST += src/protocol/README.md
