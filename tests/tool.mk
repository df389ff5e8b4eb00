# tests of src/tool
if HAVE_CMOCKA
PURE_TESTS += tests/unit/test_tool_text tests/unit/test_tool_story
tests_unit_test_tool_text_SOURCES = tests/unit/test_tool_text.c
tests_unit_test_tool_text_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE
tests_unit_test_tool_text_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_tool_text_LDADD = $(libbl_tool_libs) $(CMOCKA_LIBS)
tests_unit_test_tool_story_SOURCES = tests/unit/test_tool_story.c tests/unit/test_tool_job.c tests/unit/test_tool_job.h
tests_unit_test_tool_story_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests -D_GNU_SOURCE
tests_unit_test_tool_story_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_tool_story_LDADD = $(libbl_tool_libs) $(CMOCKA_LIBS)
endif

# Makes the job directories that the shell tests look at.
check_PROGRAMS += tests/unit/test_tool_make
tests_unit_test_tool_make_SOURCES = tests/unit/test_tool_make.c tests/unit/test_tool_job.c tests/unit/test_tool_job.h
tests_unit_test_tool_make_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests -D_GNU_SOURCE
tests_unit_test_tool_make_LDADD = libbl_store.la libbl_util.la
