/* transport.c - is fork safe beside what MPI moves data with?
 *
 * Memory that a device or another process was given the pages of (verbs, UCX, libfabric, PSM, xpmem) goes two ways at a fork: the
 * rank's next write gives it a new page, the device keeps the old one.  Open MPI's ob1 over shared memory and TCP gives pages to
 * nobody.  What is in use is asked of MPI's tool interface: components that were not chosen are closed, and their variables with them.
 */
#include <stdio.h>
#include <string.h>

#include "mpi/fork.h"

enum { NAME = 256 };

static const char *const safe[] = { "pml_base", "pml_wrapper", "pml_ob1", "btl_base", "btl_self", "btl_sm", "btl_vader", "btl_tcp", NULL };
/* Beside those, for one-sided communication, collectives and large messages. */
static const char *const unsafe[] = { "osc_ucx", "osc_portals4", "coll_hcoll", "coll_ucc", "coll_fca", "coll_portals4", "smsc_xpmem", NULL };

/* The framework and the component of a variable's name: its first two words. */
static int belongs(const char *name, const char *const *components)
{
    for (; *components; components++) {
        size_t length = strlen(*components);
        if (!strncmp(name, *components, length) && (name[length] == '_' || !name[length])) return 1;
    }
    return 0;
}

static int moves_data(const char *name)
{
    return !strncmp(name, "pml_", 4) || !strncmp(name, "btl_", 4);
}

/* Open MPI 4: how the shared-memory transport copies large messages, as it has found out. */
static int copies_by_xpmem(int index, MPI_T_enum values)
{
    MPI_T_cvar_handle handle;
    char item[NAME] = "";
    int count, chosen, value, length = sizeof item;
    if (values == MPI_T_ENUM_NULL || PMPI_T_cvar_handle_alloc(index, NULL, &handle, &count)) return 1;
    int bad = count != 1 || PMPI_T_cvar_read(handle, &chosen);
    for (int k = 0; !bad && PMPI_T_enum_get_item(values, k, &value, item, &length) == MPI_SUCCESS && value != chosen; k++) length = sizeof item;
    PMPI_T_cvar_handle_free(&handle);
    return bad || !strcmp(item, "xpmem");
}

/* Not safe because of the variable's component. */
static int harmed(int index, char name[NAME])
{
    int length = NAME, verbosity, bind, scope, none = 0;
    MPI_Datatype type;
    MPI_T_enum values;
    name[0] = '\0';
    if (PMPI_T_cvar_get_info(index, name, &length, &verbosity, &type, &values, NULL, &none, &bind, &scope) != MPI_SUCCESS) return 0;
    if (!strcmp(name, "btl_vader_single_copy_mechanism")) return copies_by_xpmem(index, values);
    return moves_data(name) ? !belongs(name, safe) : belongs(name, unsafe);
}

static void first_words(char *name)
{
    char *end = strchr(name, '_');
    end = end ? strchr(end + 1, '_') : NULL;
    if (end) *end = '\0';
}

static int look(bl_error *err)
{
    int variables = 0, known = 0;
    char name[NAME];
    PMPI_T_cvar_get_num(&variables);
    for (int i = 0; i < variables; i++) {
        if (harmed(i, name)) {
            first_words(name);
            return bl_fail(err, BELAY_ERR_REFUSED, "MPI moves data with %s here, and only shared memory and TCP are known to be safe beside fork (mpirun --mca pml ob1)", name);
        }
        known |= !strncmp(name, "pml_ob1_", 8);
    }
    return known ? BELAY_OK : bl_fail(err, BELAY_ERR_REFUSED, "what MPI moves data with is not known here, and only Open MPI's ob1 with shared memory and TCP is known to be safe beside fork");
}

int bl_transport_forks(bl_error *err)
{
    int provided;
    if (PMPI_T_init_thread(MPI_THREAD_SINGLE, &provided) != MPI_SUCCESS)
        return bl_fail(err, BELAY_ERR_REFUSED, "MPI does not tell what it moves data with, which may not be safe beside fork");
    int rc = look(err);
    PMPI_T_finalize();
    return rc;
}
