/* test_tool_make DIR SCENARIO - a job directory for the shell tests of the tool; with the scenario `record` the one that is
 * there gets its trace file. */
#include <stdio.h>
#include <string.h>

#include "recovery/past.h"
#include "unit/test_tool_job.h"

static int record(const char *dir)
{
    bl_store *store;
    bl_error err;
    int rc = bl_store_open(dir, BL_STABLE_PROCESS, &store, &err);
    if (rc == BELAY_OK) {
        rc = bl_past_record(store, 0, &err);
        bl_store_close(store);
    }
    if (rc != BELAY_OK)
        fprintf(stderr, "test_tool_make: %s\n", err.text);
    return rc != BELAY_OK;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[2], "record") == 0)
        return record(argv[1]);
    if (argc == 3 && job_scenario(argv[1], argv[2]))
        return 0;
    fprintf(stderr, "usage: test_tool_make DIR dead|silent|finished|stopped|running|elsewhere|recovered|chain|domino|quiet|induced|"
                    "trace|record\n");
    return 2;
}
