/* run.h - `belay run`: starts mpirun, watches it, brings the job back; and `belay replay`: one rank of it again, alone. */
#ifndef BL_RUN_RUN_H
#define BL_RUN_RUN_H

/* argv[0] is "run".  Returns the exit status of `belay`: the program's own when it finished; 1 given up or refused; 2 usage;
 * 75 (EX_TEMPFAIL) stopped on request after a checkpoint; 128+N ended by signal N. */
int bl_run_main(int argc, char **argv);

/* The same of "replay": becomes the program, or gdb; returns only when that is not possible. */
int bl_replay_main(int argc, char **argv);

#endif
