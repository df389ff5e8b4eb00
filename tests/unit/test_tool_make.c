/* test_tool_make DIR SCENARIO - a job directory for the shell tests of the tool. */
#include <stdio.h>

#include "unit/test_tool_job.h"

int main(int argc, char **argv)
{
    if (argc == 3 && job_scenario(argv[1], argv[2]))
        return 0;
    fprintf(stderr, "usage: test_tool_make DIR dead|silent|finished|stopped|running|elsewhere|recovered|chain|domino|quiet|trace\n");
    return 2;
}
