#include <stdio.h>
#include <string.h>

#include "store/whole.h"
#include "tool/text.h"
#include "tool/tool.h"
#include "tool/view.h"
#include "util/settings.h"

static int make(const bl_args *args, const bl_view *view, bl_error *err)
{
    char path[BL_PATH_MAX];
    uint32_t arrays = 0;
    const bl_view_checkpoint *c;
    if (view->independent)
        return bl_fail(err, BELAY_ERR_REFUSED, "%s holds %s checkpoints, which are of one rank each; belay view is for those of all ranks together",
                       bl_store_dir(view->store), view->protocol);
    int rc = bl_view_named(view, args->word, &c, err);
    if (rc != BELAY_OK)
        return rc;
    if (c->state != BL_VIEW_GOOD)
        return bl_fail(err, BELAY_ERR_NONE, "checkpoint %u is %s", c->number, bl_view_state_name(c->state));
    if (args->out)
        snprintf(path, sizeof path, "%s", args->out);
    else
        snprintf(path, sizeof path, "%s/view-%06u.h5", bl_store_dir(view->store), c->number);
    rc = bl_whole_view(view->store, &c->record, path, &arrays, err);
    if (rc == BELAY_OK && args->json)
        return bl_print_json(json_pack("{s:I, s:I, s:s}", "checkpoint", (json_int_t)c->number, "arrays", (json_int_t)arrays, "file", path), err);
    if (rc == BELAY_OK)
        printf("%s of checkpoint %u: %s (and .xdmf beside it); they show the files of that checkpoint, and nothing when these are gone.\n",
               bl_text_count(arrays, "array").s, c->number, path);
    return rc;
}

static int run(const bl_args *args, bl_error *err)
{
    bl_view view;
    int rc = bl_view_load(args->dir, &view, err);
    if (rc == BELAY_OK) {
        rc = make(args, &view, err);
        bl_view_free(&view);
    }
    return rc == BELAY_OK ? BL_EXIT_OK : bl_exit_of(err);
}

const bl_command bl_command_view = {
    .name = "view",
    .summary = "one HDF5 file that shows the arrays of all ranks as one",
    .usage = "usage: belay view [CHECKPOINT] [--out FILE] [--dir DIR] [--json]\n"
             "\n"
             "Writes a small HDF5 file of virtual datasets over the snapshots of all ranks: each array of which the program has\n"
             "said with belay_part what a rank has becomes one dataset, for h5py, h5dump and all that reads HDF5 1.10; and\n"
             "an XDMF file beside it for ParaView.  No data is copied: the files of the checkpoint have to stay.\n"
             "Exit status: 0 written, 1 there is nothing to show, 2 wrong usage or no such job directory.\n"
             "\n"
             "  --out FILE  where (default: view-NNNNNN.h5 in the job directory, which can then be moved as a whole)\n"
             "  --dir DIR   the job directory (default: BELAY_DIR, or belay.d)\n"
             "  --json      for programs\n",
    .options = "odj",
    .takes_word = true,
    .run = run,
};
