#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/run.h"
#include "store/store.h"
#include "tool/text.h"
#include "tool/tool.h"
#include "util/settings.h"

static const bl_command *const commands[] = {
    &bl_command_ls, &bl_command_show, &bl_command_verify, &bl_command_rebuild, &bl_command_view, &bl_command_line, &bl_command_gc,
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct option options[] = {
    {"dir", required_argument, NULL, 'd'},       {"json", no_argument, NULL, 'j'},
    {"rank", required_argument, NULL, 'r'},      {"repair", no_argument, NULL, 'R'},
    {"fail", required_argument, NULL, 'f'},      {"incarnation", required_argument, NULL, 'i'},
    {"keep", required_argument, NULL, 'k'},      {"dry-run", no_argument, NULL, 'n'},
    {"quarantine", no_argument, NULL, 'q'},      {"force", no_argument, NULL, 'F'},
    {"svg", required_argument, NULL, 's'},       {"html", required_argument, NULL, 'H'},
    {"messages", no_argument, NULL, 'm'},        {"out", required_argument, NULL, 'o'},
    {"seed", required_argument, NULL, 'S'},      {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(FILE *out)
{
    fprintf(out, "usage: belay COMMAND [OPTION...]\n\nBelay keeps an MPI job alive.\n\n"
                 "  run     start a job, watch it, and bring it back when ranks die\n"
                 "  replay  run one rank of a job with message logging again, alone, under a debugger if wanted\n");
    for (size_t k = 0; k < COMMANDS; k++)
        fprintf(out, "  %-7s %s\n", commands[k]->name, commands[k]->summary);
    fprintf(out, "  help    this text, or that of a command: belay help line\n\n"
                 "All but run and replay read what a job left in its job directory (--dir DIR, BELAY_DIR, or belay.d).\n"
                 "Exit status: 0 good, 1 damaged or not possible, 2 wrong usage or no such directory;\n"
                 "belay run and replay: see belay run --help, belay replay --help.\n");
}

static const bl_command *find(const char *name)
{
    for (size_t k = 0; k < COMMANDS; k++)
        if (strcmp(commands[k]->name, name) == 0)
            return commands[k];
    return NULL;
}

static int number_of(const char *option, uint32_t least, uint32_t *value, bl_error *err)
{
    if (bl_parse_u32(optarg, UINT32_MAX - 1, value) && *value >= least)
        return BELAY_OK;
    return bl_fail(err, BELAY_ERR_ARG, "--%s '%.40s' is not a number from %u on", option, optarg, least);
}

static int take_option(int letter, bl_args *args, bl_error *err)
{
    switch (letter) {
    case 'd':
        args->dir = optarg;
        args->has_dir = true;
        return *optarg ? BELAY_OK : bl_fail(err, BELAY_ERR_ARG, "--dir needs the name of a directory");
    case 'f': args->fail = optarg; return BELAY_OK;
    case 's': args->svg = optarg; return BELAY_OK;
    case 'H': args->html = optarg; return BELAY_OK;
    case 'o': args->out = optarg; return BELAY_OK;
    case 'S': return number_of("seed", 0, &args->seed, err);
    case 'j': args->json = true; return BELAY_OK;
    case 'm': args->messages = true; return BELAY_OK;
    case 'R': args->repair = true; return BELAY_OK;
    case 'n': args->dry_run = true; return BELAY_OK;
    case 'q': args->quarantine = true; return BELAY_OK;
    case 'F': args->force = true; return BELAY_OK;
    case 'r': args->has_rank = true; return number_of("rank", 0, &args->rank, err);
    case 'i': args->has_incarnation = true; return number_of("incarnation", 0, &args->incarnation, err);
    default: return number_of("keep", 1, &args->keep, err);
    }
}

static const char *option_name(int letter)
{
    const struct option *o = options;
    while (o->name && o->val != letter)
        o++;
    return o->name ? o->name : "?";
}

/* BELAY_ERR_NONE: help was asked for. */
static int parse(const bl_command *command, int argc, char **argv, bl_args *args, bl_error *err)
{
    int letter, rc = BELAY_OK;
    opterr = 0;
    while (rc == BELAY_OK && (letter = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        const char *as_written = argv[optind - 1];
        if (letter == 'h')
            return BELAY_ERR_NONE;
        if (letter == ':')
            rc = bl_fail(err, BELAY_ERR_ARG, "%.80s needs a value; see belay %s --help", as_written, command->name);
        else if (letter == '?')
            rc = bl_fail(err, BELAY_ERR_ARG, "there is no option %.80s; see belay %s --help", as_written, command->name);
        else if (!strchr(command->options, letter))
            rc = bl_fail(err, BELAY_ERR_ARG, "--%s is not an option of this command; see belay %s --help", option_name(letter),
                         command->name);
        else
            rc = take_option(letter, args, err);
    }
    if (rc != BELAY_OK)
        return rc;
    if (command->takes_word && optind < argc)
        args->word = argv[optind++];
    return optind == argc ? BELAY_OK : bl_fail(err, BELAY_ERR_ARG, "'%.80s' is one word too many; see belay %s --help",
                                               argv[optind], command->name);
}

static int complain(const bl_command *command, bl_error *err, int status)
{
    fflush(stdout);
    if (err->code)
        fprintf(stderr, "belay %s: %s\n", command->name, bl_text_wash(err->text));
    return status;
}

static int run_command(const bl_command *command, int argc, char **argv)
{
    static bl_settings settings; /* static for its size only */
    bl_error err = {0, ""};
    bl_args args = {.keep = 2, .seed = 1};
    int rc = parse(command, argc, argv, &args, &err);
    if (rc == BELAY_ERR_NONE) {
        fputs(command->usage, stdout);
        return BL_EXIT_OK;
    }
    if (rc == BELAY_OK && !args.dir) {
        rc = bl_settings_load(&settings, &err);
        args.dir = settings.dir;
    }
    return complain(command, &err, rc == BELAY_OK ? command->run(&args, &err) : BL_EXIT_USAGE);
}

static int help(const char *name)
{
    const bl_command *command = name ? find(name) : NULL;
    char run[] = "run", flag[] = "--help", *argv[] = {run, flag, NULL};
    if (name && strcmp(name, "run") == 0)
        return bl_run_main(2, argv);
    if (name && strcmp(name, "replay") == 0)
        return bl_replay_main(2, argv);
    if (name && !command) {
        fprintf(stderr, "belay: there is no command '%.40s'; belay help lists them\n", name);
        return BL_EXIT_USAGE;
    }
    if (command)
        fputs(command->usage, stdout);
    else
        print_help(stdout);
    return BL_EXIT_OK;
}

static int dispatch(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        print_help(stderr);
        return BL_EXIT_USAGE;
    }
    if (strcmp(name, "run") == 0)
        return bl_run_main(argc - 1, argv + 1);
    if (strcmp(name, "replay") == 0)
        return bl_replay_main(argc - 1, argv + 1);
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    if (strcmp(name, "--version") == 0) {
        printf("belay %s (on-disk format %d)\n", PACKAGE_VERSION, BL_FORMAT);
        return BL_EXIT_OK;
    }
    const bl_command *command = find(name);
    if (command)
        return run_command(command, argc - 1, argv + 1);
    fprintf(stderr, "belay: there is no command '%.40s'; belay help lists them\n", name);
    return BL_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    int status = dispatch(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "belay: cannot write the output: %s\n", strerror(errno));
        return status == BL_EXIT_OK ? BL_EXIT_BAD : status;
    }
    return status;
}
