/* tool.h - the commands of `belay` that read what a job left behind, and what they share: options and exit statuses. */
#ifndef BL_TOOL_TOOL_H
#define BL_TOOL_TOOL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "util/error.h"

enum bl_exit {
    BL_EXIT_OK = 0,
    BL_EXIT_BAD = 1,  /* something is damaged, or what was asked for could not be done */
    BL_EXIT_USAGE = 2 /* the command was not understood, or there is no such job directory */
};

/* The options of all commands together; bl_command says which of them a command takes. */
typedef struct bl_args {
    const char *dir;        /* never NULL */
    const char *word;       /* CHECKPOINT, or what `line` reads; or NULL */
    const char *fail;       /* --fail: a rank list, "all" or "node:HOST"; NULL when not given */
    const char *svg, *html, *out; /* files to write, or NULL */
    uint32_t rank, keep, incarnation, seed;
    bool has_dir, has_rank, has_incarnation;
    bool json, messages, repair, dry_run, quarantine, force;
} bl_args;

typedef struct bl_command {
    const char *name, *summary;
    const char *usage;      /* what --help prints */
    const char *options;    /* letters of main.c's option table */
    bool takes_word;
    /* Returns an exit status; a status other than BL_EXIT_OK with err->code set makes main print the sentence. */
    int (*run)(const bl_args *args, bl_error *err);
} bl_command;

extern const bl_command bl_command_ls, bl_command_show, bl_command_verify, bl_command_rebuild, bl_command_view, bl_command_line, bl_command_gc;

/* The exit status that belongs to an error. */
int bl_exit_of(const bl_error *err);

/* A whole decimal number up to `most`, nothing else. */
bool bl_parse_u32(const char *text, uint32_t most, uint32_t *value);

/* A sentence as JSON, whatever bytes it holds. */
json_t *bl_json_sentence(const char *sentence);

/* Prints and releases `value` (NULL: out of memory while it was built). */
int bl_print_json(json_t *value, bl_error *err);

#endif
