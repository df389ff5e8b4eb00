#include "mpi/carry.h"

static const bl_under_calls plain = {
#define BL_CARRIED_CALL(name) .name = PMPI_##name,
    BL_CARRIED(BL_CARRIED_CALL)
#undef BL_CARRIED_CALL
};
const bl_under_calls *bl_under = &plain;

int bl_carry_init(bl_error *err)
{
    return bl_fail(err, BELAY_ERR_REFUSED, "piggyback=header is not in this version");
}

void bl_carry_free(void)
{
    bl_under = &plain;
}

void bl_carry_completed(uint64_t key, bl_live_slot *slot, MPI_Status *status)
{
    (void)key, (void)slot, (void)status;
}
