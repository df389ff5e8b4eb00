#include "tool/story_make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool/text.h"

/* The whole file, NUL-terminated; malloc'ed. */
static int read_whole(int fd, const char *path, size_t size, char **text, bl_error *err)
{
    size_t done = 0;
    *text = malloc(size + 1);
    if (!*text)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %s", path);
    while (done < size) {
        ssize_t got = read(fd, *text + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    (*text)[done] = '\0';
    return done == size ? BELAY_OK : bl_fail(err, BELAY_ERR_SYSTEM, "%s cannot be read to its end", path);
}

static int read_text(bl_story *story, int fd, const char *path, size_t size, bl_error *err)
{
    char *text = NULL;
    if (size > BL_STORY_TRACE_BYTES_MAX)
        return bl_fail(err, BELAY_ERR_ARG, "%s is larger than a trace written as text may be (%s)", path,
                       bl_text_size(BL_STORY_TRACE_BYTES_MAX).s);
    int rc = read_whole(fd, path, size, &text, err);
    if (rc == BELAY_OK && strlen(text) != size)
        rc = bl_fail(err, BELAY_ERR_ARG, "%s is no trace: it holds bytes that are no text", path);
    if (rc == BELAY_OK) {
        story->source = BL_STORY_TEXT;
        rc = bl_story_text(story, text, size, err);
    }
    free(text);
    return rc;
}

int bl_story_trace(const char *path, bl_story *story, bl_error *err)
{
    *story = (bl_story){.mode = BL_LINE_TRANSITLESS};
    const char *base = strrchr(path, '/');
    snprintf(story->from, sizeof story->from, "%s", bl_text_clean(base ? base + 1 : path).s);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0)
        return bl_fail_errno(err, "cannot open %s", path);
    int rc = BELAY_OK;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        rc = bl_fail(err, BELAY_ERR_NONE, "%s is neither a job directory nor a file with a trace", path);
    else
        rc = read_text(story, fd, path, (size_t)status.st_size, err);
    close(fd);
    if (rc != BELAY_OK)
        bl_story_clear(story);
    return rc;
}
