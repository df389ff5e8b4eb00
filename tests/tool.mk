# tests of src/tool
if HAVE_CMOCKA
PURE_TESTS += tests/unit/test_tool_text tests/unit/test_tool_story
tests_unit_test_tool_text_SOURCES = tests/unit/test_tool_text.c
tests_unit_test_tool_text_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_tool_text_LDADD = $(libbl_tool_libs) $(CMOCKA_LIBS)
tests_unit_test_tool_story_SOURCES = tests/unit/test_tool_story.c tests/unit/test_tool_job.c tests/unit/test_tool_job.h
tests_unit_test_tool_story_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
tests_unit_test_tool_story_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_tool_story_LDADD = $(libbl_tool_libs) $(CMOCKA_LIBS)
endif

# Makes the job directories that the shell tests look at.
check_PROGRAMS += tests/unit/test_tool_make
tests_unit_test_tool_make_SOURCES = tests/unit/test_tool_make.c tests/unit/test_tool_job.c tests/unit/test_tool_job.h
tests_unit_test_tool_make_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
tests_unit_test_tool_make_LDADD = libbl_recovery.la libbl_line.la libbl_store.la libbl_util.la

# Writes the trace file that tool_large.sh and tool_page.sh read.
check_PROGRAMS += bench/line_stream

# These run ./belay itself and need no MPI either.
tool_scripts = tests/tool_text.sh tests/tool_status.sh tests/tool_damage.sh tests/tool_man.sh \
	tests/tool_own.sh tests/tool_picture.sh tests/tool_page.sh tests/tool_large.sh
MPI_TESTS += $(tool_scripts)
EXTRA_DIST += $(tool_scripts) \
	tests/golden/tool-ls.txt tests/golden/tool-show.txt tests/golden/tool-show-rank.txt tests/golden/tool-show-aborted.txt \
	tests/golden/tool-verify.txt tests/golden/tool-line.txt tests/golden/tool-line-json.txt tests/golden/tool-line-fail.txt \
	tests/golden/tool-line-silent.txt tests/golden/tool-line-finished.txt tests/golden/tool-line-running.txt \
	tests/golden/tool-line-chain.txt tests/golden/tool-line-recovered.txt tests/golden/tool-line-after.txt \
	tests/golden/tool-line-stopped.txt tests/golden/tool-gc-dry.txt \
	tests/golden/tool-induced-ls.txt tests/golden/tool-induced-show.txt tests/golden/tool-induced-verify.txt \
	tests/golden/tool-induced-line.txt tests/golden/tool-induced-line-json.txt tests/golden/tool-induced-gc-dry.txt \
	tests/golden/tool-own-ls.txt tests/golden/tool-own-line.txt tests/golden/tool-own-line-json.txt \
	tests/golden/traces/G1.trace tests/golden/traces/G2.trace tests/golden/traces/G3.trace tests/golden/traces/G4.trace \
	tests/golden/traces/G5.trace tests/golden/traces/G6.trace \
	tests/golden/pictures/G1-first.svg tests/golden/pictures/G1-first.txt tests/golden/pictures/G1-second.svg \
	tests/golden/pictures/G1-second.txt tests/golden/pictures/G2.svg tests/golden/pictures/G2.txt \
	tests/golden/pictures/G3.svg tests/golden/pictures/G3.txt tests/golden/pictures/G4.svg tests/golden/pictures/G4.txt \
	tests/golden/pictures/G5-first.svg tests/golden/pictures/G5-first.txt tests/golden/pictures/G5-last.svg \
	tests/golden/pictures/G5-last.txt tests/golden/pictures/G6.svg tests/golden/pictures/G6.txt
