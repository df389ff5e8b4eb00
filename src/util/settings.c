#include "util/settings.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int bl_parse_duration(const char *text, double *seconds)
{
    if (!isdigit((unsigned char)*text) && *text != '.') return -1;
    char *unit;
    errno = 0;
    double value = strtod(text, &unit);
    if (errno || !isfinite(value)) return -1;
    if (*unit == '\0' || !strcmp(unit, "s")) *seconds = value;
    else if (!strcmp(unit, "ms")) *seconds = value * 1e-3;
    else if (!strcmp(unit, "m")) *seconds = value * 60;
    else if (!strcmp(unit, "h")) *seconds = value * 3600;
    else if (!strcmp(unit, "d")) *seconds = value * 86400;
    else return -1;
    return *seconds <= 1e9 ? 0 : -1;
}

static int bad(const bl_setting *row, const char *text, bl_error *err)
{
    return bl_fail(err, BELAY_ERR_ARG, "'%.80s' is not a value of %s: write %s", text, row->name, row->value);
}

static int set_dir(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    if (!*text || strlen(text) >= sizeof s->dir / 2) return bad(row, text, err);
    strcpy(s->dir, text);
    return BELAY_OK;
}

static int parse_every(bl_every *every, const char *text)
{
    size_t digits = strspn(text, "0123456789");
    *every = (bl_every){ BL_EVERY_NEVER, 0, 0 };
    if (!strcmp(text, "never")) return 0;
    if (!strcmp(text, "auto")) {
        every->kind = BL_EVERY_AUTO;
        return 0;
    }
    if (digits && digits < 16 && text[digits] == '\0') {
        every->kind = BL_EVERY_POINTS;
        every->points = strtoull(text, NULL, 10);
        return every->points ? 0 : -1;
    }
    every->kind = BL_EVERY_SECONDS;
    return bl_parse_duration(text, &every->seconds) || every->seconds <= 0 ? -1 : 0;
}

static int set_every(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    char one[64];
    s->everies = 0;
    for (const char *rest = text;; rest++) {
        size_t span = strcspn(rest, ",");
        if (s->everies == BL_EVERIES_MAX || span >= sizeof one) return bad(row, text, err);
        memcpy(one, rest, span);
        one[span] = '\0';
        if (parse_every(&s->every[s->everies++], one)) return bad(row, text, err);
        rest += span;
        if (!*rest) return BELAY_OK;
    }
}

static int set_jitter(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    char *end;
    double percent = strtod(text, &end);
    if (end == text || strcmp(end, "%") || !(percent >= 0 && percent <= 90)) return bad(row, text, err);
    s->jitter = percent / 100;
    return BELAY_OK;
}

static int set_duration(double *target, const bl_setting *row, const char *text, bl_error *err)
{
    double seconds;
    if (bl_parse_duration(text, &seconds) || seconds <= 0) return bad(row, text, err);
    *target = seconds;
    return BELAY_OK;
}

static int set_mtbf(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    return set_duration(&s->mtbf_s, row, text, err);
}

static int set_grace(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    return set_duration(&s->grace_s, row, text, err);
}

static int set_timeout(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    return set_duration(&s->commit_timeout_s, row, text, err);
}

static int set_align(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    return set_duration(&s->align_timeout_s, row, text, err);
}

static int set_count(unsigned *target, unsigned least, const bl_setting *row, const char *text, bl_error *err)
{
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 6 || text[digits]) return bad(row, text, err);
    unsigned value = (unsigned)strtoul(text, NULL, 10);
    if (value < least) return bad(row, text, err);
    *target = value;
    return BELAY_OK;
}

static int set_keep(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    return set_count(&s->keep, 1, row, text, err);
}

static int set_restarts(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    return set_count(&s->max_restarts, 0, row, text, err);
}

/* Index of `text` among the words of `choices` ("process|power"), or -1. */
static int choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    int index = 0;
    for (const char *word = choices; *word; index++) {
        size_t span = strcspn(word, "|");
        if (span == length && !memcmp(word, text, span)) return index;
        word += span;
        if (*word == '|') word++;
    }
    return -1;
}

static int set_choice(int *target, const bl_setting *row, const char *text, bl_error *err)
{
    int index = choice(row->value, text);
    if (index < 0) return bad(row, text, err);
    *target = index;
    return BELAY_OK;
}

static int set_stable(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    if (!strcmp(text, "node"))
        return bl_fail(err, BELAY_ERR_REFUSED, "stable=node is not in this version: redundancy=partner keeps a copy off the node, with stable=process or power");
    return set_choice(&s->stable_power, row, text, err);
}

static int set_verbose(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    return set_choice(&s->verbose, row, text, err);
}

static int set_errors(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    return set_choice(&s->errors_return, row, text, err);
}

static int set_kill(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    (void)row;
    s->kills = 0;
    while (*text) {
        char one[128];
        size_t span = strcspn(text, ",");
        if (span >= sizeof one || s->kills == BL_KILLS_MAX)
            return bl_fail(err, BELAY_ERR_ARG, "kill: more than %d kills, or one longer than 127 characters", BL_KILLS_MAX);
        memcpy(one, text, span);
        one[span] = '\0';
        int rc = bl_kill_parse(one, &s->kill[s->kills], err);
        if (rc) return rc;
        s->kills++;
        text += span;
        if (*text == ',') text++;
    }
    return BELAY_OK;
}

/* The protocols of the design that this version does not have are refused by name, never silently replaced. */
static int set_protocol(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    (void)s;
    if (!strcmp(text, row->fallback)) return BELAY_OK;
    return bl_fail(err, BELAY_ERR_REFUSED, "%s=%.40s is not in this version; it has %s=%s", row->name, text, row->name,
                   row->value);
}

static int set_one_of(int *target, bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    int index = choice(row->value, text);
    if (index < 0) return set_protocol(s, row, text, err);
    *target = index;
    return BELAY_OK;
}

static int set_checkpoint(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    int protocol = 0, rc = set_one_of(&protocol, s, row, text, err);
    if (rc == BELAY_OK) s->protocol = (enum bl_protocol)protocol;
    return rc;
}

static int set_piggyback(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    int piggyback = 0, rc = set_one_of(&piggyback, s, row, text, err);
    if (rc == BELAY_OK) s->piggyback = (enum bl_piggyback)piggyback;
    return rc;
}

static int set_logging(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    int logging = 0, rc = BELAY_OK;
    if (strstr(text, "send-deterministic"))
        return bl_fail(err, BELAY_ERR_REFUSED, "send-deterministic is not in this version: logging the order of receives costs less than what would have to ride on every message to do without it; use logging=pessimistic, or logging=optimistic, which waits for no disk either");
    rc = set_one_of(&logging, s, row, text, err);
    if (rc == BELAY_OK) s->logging = (enum bl_logging_protocol)logging;
    return rc;
}

static int set_log_failures(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    return set_count(&s->log_failures, 1, row, text, err);
}

static const char *const logging_names[] = { "none", "pessimistic", "optimistic", "causal" };

const char *bl_logging_name(enum bl_logging_protocol logging)
{
    return logging_names[logging];
}

int bl_is_logging(const char *protocol)
{
    for (int k = BL_LOGGING_PESSIMISTIC; k <= BL_LOGGING_CAUSAL; k++)
        if (!strcmp(protocol, logging_names[k])) return 1;
    return 0;
}

static int number_in(const char **text, unsigned least, unsigned most, unsigned *number)
{
    size_t digits = strspn(*text, "0123456789");
    if (!digits || digits > 6) return 0;
    *number = (unsigned)strtoul(*text, NULL, 10);
    *text += digits;
    return *number >= least && *number <= most;
}

/* "partner", "xor:4", "rs:4+2", each with "/N" for every N-th checkpoint; 0: not understood. */
static int parse_level(const char *text, bl_level *level)
{
    unsigned data = 1;
    *level = (bl_level){ 2, 1, 1 };
    if (!strncmp(text, "partner", 7)) {
        text += 7;
    } else if (!strncmp(text, "xor:", 4)) {
        text += 4;
        if (!number_in(&text, 2, 64, &level->members)) return 0;
    } else if (!strncmp(text, "rs:", 3)) {
        text += 3;
        if (!number_in(&text, 1, 63, &data) || *text++ != '+' || !number_in(&text, 1, 16, &level->parity)) return 0;
        level->members = data + level->parity;
        if (level->members > 64) return 0;
    } else {
        return 0;
    }
    if (*text == '/') {
        text++;
        if (!number_in(&text, 1, 999999, &level->every)) return 0;
    }
    return !*text;
}

static int set_redundancy(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    s->levels = 0;
    if (!strcmp(text, "local")) return BELAY_OK;
    for (const char *at = text;;) {
        char one[32];
        size_t span = strcspn(at, ",");
        if (span >= sizeof one || s->levels == BL_LEVELS_MAX) return bad(row, text, err);
        memcpy(one, at, span);
        one[span] = '\0';
        if (!strcmp(one, "global")) return bl_fail(err, BELAY_ERR_REFUSED, "global is not in this version: without local-dir every checkpoint is in the job directory, which all nodes share");
        if (!parse_level(one, &s->level[s->levels])) return bad(row, text, err);
        s->levels++;
        at += span;
        if (!*at) return BELAY_OK;
        at++;
    }
}

static int set_async(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    int async = 0, rc = set_choice(&async, row, text, err);
    if (rc == BELAY_OK) s->async = (enum bl_async)async;
    return rc;
}

/* "20M", "2G"; 0: not understood. */
static uint64_t parse_size(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    int shift = !strcmp(text + digits, "M") ? 20 : !strcmp(text + digits, "G") ? 30 : 0;
    return digits && digits <= 6 && shift ? strtoull(text, NULL, 10) << shift : 0;
}

static int set_async_rate(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    s->async_rate = strcmp(text, "none") ? parse_size(text) : 0;
    return s->async_rate || !strcmp(text, "none") ? BELAY_OK : bad(row, text, err);
}

static int set_async_late(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    return set_choice(&s->async_skip, row, text, err);
}

static int set_from(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    (void)row;
    if (strlen(text) >= sizeof s->from) return bl_fail(err, BELAY_ERR_ARG, "from: the path is longer than %zu bytes", sizeof s->from - 1);
    strcpy(s->from, text);
    return BELAY_OK;
}

static int set_failure_domain(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    s->failure_domain = 0;
    return strcmp(text, "node") ? set_count(&s->failure_domain, 1, row, text, err) : BELAY_OK;
}

static int set_local_dir(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    (void)row;
    if (strlen(text) >= sizeof s->local_dir / 2) return bl_fail(err, BELAY_ERR_ARG, "local-dir: the path is longer than %zu bytes", sizeof s->local_dir / 2 - 1);
    for (const char *at = strchr(text, '%'); at; at = strchr(at + 2, '%'))
        if (at[1] != 'h' && at[1] != 'd' && at[1] != '%')
            return bl_fail(err, BELAY_ERR_ARG, "local-dir: %%h is the name of the host, %%d the number of the failure domain, %%%% a per cent sign, and nothing else comes after one: '%.200s'", text);
    strcpy(s->local_dir, text);
    return BELAY_OK;
}

/* "64M", "2G" */
static int set_budget(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    s->log_budget = parse_size(text);
    if (!s->log_budget) return bad(row, text, err);
    return s->log_budget >= 16u << 20 ? BELAY_OK : bl_fail(err, BELAY_ERR_ARG, "log-budget=%s is too little: 16M is the least", text);
}

static int set_recovery(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    int index = choice(row->value, text);
    if (index < 0) return bad(row, text, err);
    s->recovery = (enum bl_recovery)index;
    return BELAY_OK;
}

static int set_spares(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    return set_count(&s->spares, 0, row, text, err);
}

static int set_suspect(bl_settings *s, const bl_setting *row, const char *text, bl_error *err)
{
    if (strcmp(text, "never") != 0) return set_duration(&s->suspect_s, row, text, err);
    s->suspect_s = 0;
    return BELAY_OK;
}

const bl_setting bl_setting_table[] = {
    { "dir", "DIR", "belay.d", "the job directory: checkpoints, commit records, counters", set_dir },
    { "every", "N|TIME|auto|never", "auto", "checkpoint every N safe points or TIME (30s, 5m, 2h); auto: Young/Daly from the measured cost and mtbf; a list A,B,... gives each rank its own (together they use the first)", set_every },
    { "jitter", "PERCENT%", "0%", "ranks that checkpoint on their own vary each period at random by up to so much, so that not all write at once", set_jitter },
    { "mtbf", "TIME", "1d", "mean time between failures of the whole job, for every=auto", set_mtbf },
    { "stable", "process|power", "power", "what a checkpoint survives: death of processes (no fsync), or loss of power", set_stable },
    { "keep", "N", "2", "coordinated: committed checkpoints that are kept; older ones are removed", set_keep },
    { "max-restarts", "N", "10", "how often `belay run` brings the job back before it gives up", set_restarts },
    { "kill", "RANK@WHEN,...", "", "kill ranks on purpose; WHEN: step=N, call=N, point=NAME[#N], after=TIME, random:SEED[/CALLS]", set_kill },
    { "grace", "TIME", "60s", "after a request to stop: wait so long for the checkpoint before the job is ended without", set_grace },
    { "align-timeout", "TIME", "60s", "a rank waits so long for the others to reach the same safe point before the checkpoint is given up", set_align },
    { "commit-timeout", "TIME", "10m", "a rank waits so long for the others' part of a checkpoint before it gives that checkpoint up", set_timeout },
    { "errors", "fatal|return", "fatal", "when belay_recover cannot restore: end the job, or let the program decide", set_errors },
    { "verbose", "0|1", "1", "0: errors only; 1: a line per event", set_verbose },
    { "checkpoint", "coordinated|independent|induced", "coordinated", "checkpointing protocol: all ranks together at one safe point; each rank at its own; or that, and messages force further ones so that none is useless", set_checkpoint },
    { "logging", "none|pessimistic|optimistic|causal", "none", "message logging (with independent checkpoints): each rank goes on from its own newest; what chance decides is forced before the next send; or meanwhile, and orphans go back; or carried by messages until enough ranks have it", set_logging },
    { "log-budget", "SIZE", "1G", "so much of each of a rank's two journals is kept (64M, 2G); when it is nearly full checkpoints are asked for", set_budget },
    { "log-failures", "N", "1", "logging=causal: so many nodes may be lost at once without anybody having to go back", set_log_failures },
    { "from", "DIR", "", "a job that has no checkpoint of its own begins with the newest one of the job in DIR, which may have had another number of ranks (belay_part says what of a whole a rank has)", set_from },
    { "async", "off|stage|fork|auto", "off", "write while the program goes on: stage copies the state, so that it takes as much memory again, and a thread writes the copy; fork has a child process write, which takes as much as the program changes meanwhile; auto: what is possible; the checkpoint counts when all ranks have found theirs written, at a later safe point", set_async },
    { "async-rate", "SIZE|none", "none", "with async: a rank writes at most so much a second (500M, 2G), so that the program has the rest of the disk and of memory", set_async_rate },
    { "async-late", "wait|skip", "wait", "with async, when a checkpoint is due and the one before is not written yet: the program waits until it is; or the one that is due is left out", set_async_late },
    { "redundancy", "local|partner|xor:K|rs:K+M", "local", "what brings lost snapshots back: nothing; a copy on another node; or parity in groups of K (of K+M) ranks on different nodes, of which 1 (M) may be lost; A/4,B/16: each 4th checkpoint A, each 16th B", set_redundancy },
    { "failure-domain", "node|N", "node", "which ranks are lost together: those of a node, or each N ranks after one another", set_failure_domain },
    { "local-dir", "DIR", "", "snapshots are kept in DIR of each node, not in the job directory; %h in it is the name of the host, %d the number of the failure domain", set_local_dir },
    { "recovery", "auto|relaunch|injob", "auto", "how the job comes back: all ranks are started again; or the others stay and a spare takes the place of the dead (MPI with ULFM, a program in belay_main); auto: in the job if there are spares", set_recovery },
    { "spares", "N", "0", "processes that are started besides the ranks, and wait to take the place of dead ones (recovery in the job)", set_spares },
    { "suspect", "TIME|never", "never", "recovery in the job: a rank from which MPI hears nothing for so long is taken for dead and replaced, be it stopped, cut off, or busy without a call of MPI", set_suspect },
    { "piggyback", "implicit|marker|header", "implicit", "how dependencies ride on messages: not at all (both ends count), beside the first one of an interval, or on each; with induced checkpoints implicit means marker", set_piggyback },
};
const unsigned bl_setting_count = sizeof bl_setting_table / sizeof *bl_setting_table;

void bl_setting_variable(const char *name, char *variable, size_t size)
{
    size_t i = (size_t)snprintf(variable, size, "BELAY_");
    for (; *name && i + 1 < size; name++) variable[i++] = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
    variable[i] = '\0';
}

int bl_settings_set(bl_settings *settings, const char *name, const char *text, const char *origin, bl_error *err)
{
    for (unsigned i = 0; i < bl_setting_count; i++) {
        const bl_setting *row = &bl_setting_table[i];
        if (strcmp(row->name, name)) continue;
        bl_error inner = { 0, "" };
        int rc = row->set(settings, row, text, &inner);
        return rc ? bl_fail(err, rc, "%s: %s", origin, inner.text) : BELAY_OK;
    }
    return bl_fail(err, BELAY_ERR_ARG, "%s: there is no setting '%.40s'; `belay run --help` lists them", origin, name);
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text)) text++;
    size_t length = strlen(text);
    while (length && isspace((unsigned char)text[length - 1])) text[--length] = '\0';
    return text;
}

static int load_file(bl_settings *settings, const char *path, bl_error *err)
{
    FILE *file = fopen(path, "r");
    if (!file) return bl_fail_errno(err, "BELAY_SETTINGS: cannot read %s", path);
    char line[2 * BL_PATH_MAX], origin[BL_PATH_MAX + 32];
    int rc = BELAY_OK;
    for (unsigned number = 1; rc == BELAY_OK && fgets(line, sizeof line, file); number++) {
        char *name = trim(line), *value = strchr(name, '=');
        if (*name == '#') continue;
        snprintf(origin, sizeof origin, "%s line %u", path, number);
        if (!*name) continue;
        if (!value) {
            rc = bl_fail(err, BELAY_ERR_ARG, "%s: '%.60s' is not `name = value`", origin, name);
            break;
        }
        *value++ = '\0';
        rc = bl_settings_set(settings, trim(name), trim(value), origin, err);
    }
    fclose(file);
    return rc;
}

int bl_settings_load(bl_settings *settings, bl_error *err)
{
    memset(settings, 0, sizeof *settings);
    for (unsigned i = 0; i < bl_setting_count; i++) {
        int rc = bl_settings_set(settings, bl_setting_table[i].name, bl_setting_table[i].fallback, "default", err);
        if (rc) return rc;
    }
    const char *path = getenv("BELAY_SETTINGS");
    if (path && *path) {
        int rc = load_file(settings, path, err);
        if (rc) return rc;
    }
    for (unsigned i = 0; i < bl_setting_count; i++) {
        char variable[64];
        bl_setting_variable(bl_setting_table[i].name, variable, sizeof variable);
        const char *text = getenv(variable);
        if (!text) continue;
        int rc = bl_settings_set(settings, bl_setting_table[i].name, text, variable, err);
        if (rc) return rc;
    }
    return BELAY_OK;
}

const char *bl_async_name(enum bl_async async)
{
    static const char *const name[] = { "off", "stage", "fork", "auto" };
    return name[async];
}

const char *bl_settings_no_async(const bl_settings *s)
{
    if (s->protocol != BL_PROTOCOL_COORDINATED) return "is for checkpoint=coordinated in this version";
    if (s->piggyback != BL_PIGGYBACK_IMPLICIT)
        return "with another piggyback than implicit: an interval would begin before its checkpoint counts; leave piggyback out";
    if (s->levels)
        return "with redundancy is not in this version: the ranks of a group exchange their files at a safe point, when they are written; use one of the two";
    return NULL;
}

int bl_settings_agree(const bl_settings *s, bl_error *err)
{
    if (s->spares && s->recovery == BL_RECOVERY_RELAUNCH)
        return bl_fail(err, BELAY_ERR_REFUSED, "spares=%u with recovery=relaunch: they would wait for nothing; leave one of the two out", s->spares);
    if (s->suspect_s > 0 && !bl_settings_injob(s))
        return bl_fail(err, BELAY_ERR_REFUSED, "suspect is for a recovery in the job: add spares, or leave it out");
    if (s->from[0] && s->protocol != BL_PROTOCOL_COORDINATED)
        return bl_fail(err, BELAY_ERR_REFUSED, "from is for checkpoint=coordinated: checkpoints that ranks take on their own belong to the ranks they were taken by");
    if ((s->async == BL_ASYNC_STAGE || s->async == BL_ASYNC_FORK) && bl_settings_no_async(s))
        return bl_fail(err, BELAY_ERR_REFUSED, "async=%s %s", bl_async_name(s->async), bl_settings_no_async(s));
    if ((s->levels || s->local_dir[0]) && s->protocol != BL_PROTOCOL_COORDINATED)
        return bl_fail(err, BELAY_ERR_REFUSED, "%s goes with checkpoint=coordinated: ranks that checkpoint on their own never meet to %s", s->levels ? "redundancy" : "local-dir",
                       s->levels ? "protect each other" : "bring files to where a rank is started again");
    if (s->local_dir[0] && !s->levels)
        return bl_fail(err, BELAY_ERR_REFUSED, "local-dir without redundancy: what a node keeps is lost with it; add --redundancy partner, xor:K or rs:K+M");
    if (s->protocol == BL_PROTOCOL_INDUCED && s->piggyback == BL_PIGGYBACK_HEADER)
        return bl_fail(err, BELAY_ERR_REFUSED, "checkpoint=induced with piggyback=header: induced checkpoints are told by markers; leave piggyback out, or set marker");
    if (s->logging != BL_LOGGING_NONE && s->protocol != BL_PROTOCOL_INDEPENDENT)
        return bl_fail(err, BELAY_ERR_REFUSED, "logging=%s goes with checkpoint=independent: a log is what makes checkpoints of one rank enough", bl_logging_name(s->logging));
    if (s->logging != BL_LOGGING_NONE && s->piggyback != BL_PIGGYBACK_IMPLICIT)
        return bl_fail(err, BELAY_ERR_REFUSED, "logging=%s with another piggyback than implicit: the log tells who depends on whom; leave piggyback out", bl_logging_name(s->logging));
    if (s->logging > BL_LOGGING_PESSIMISTIC && !s->stable_power)
        return bl_fail(err, BELAY_ERR_REFUSED, "logging=%s goes with stable=power: with stable=process a journal survives its process the moment it is written, and logging=pessimistic waits for nothing either", bl_logging_name(s->logging));
    return BELAY_OK;
}

enum bl_piggyback bl_settings_piggyback(const bl_settings *s)
{
    return s->protocol == BL_PROTOCOL_INDUCED && s->piggyback == BL_PIGGYBACK_IMPLICIT ? BL_PIGGYBACK_MARKER : s->piggyback;
}

bl_every bl_settings_every(const bl_settings *s, uint32_t rank)
{
    return s->every[rank % s->everies];
}
