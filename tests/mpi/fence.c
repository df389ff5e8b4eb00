/* fence DIR - begins the next incarnation of the job in DIR, as a relaunch does: whoever is left of the one before may
 * write nothing any more. */
#include <stdio.h>

#include "store/store.h"

int main(int argc, char **argv)
{
    bl_store *store;
    bl_error err = { 0, "" };
    if (argc != 2) return 2;
    if (bl_store_open(argv[1], BL_STABLE_PROCESS, &store, &err) || bl_store_next_incarnation(store, &err)) {
        fprintf(stderr, "fence: %s\n", err.text);
        return 1;
    }
    printf("incarnation %u\n", (unsigned)bl_store_job(store)->incarnation);
    bl_store_close(store);
    return 0;
}
