/* Reads the usual lines of Codex rollouts: what `codex.py` does with them, compiled.
 *
 * read() takes lines as long as each is one whose meaning is certain from its shape, and stops
 * before the first that is not: a head it does not know, bytes that are no text, figures in
 * another order. Those are left to the Python next door, which knows every shape, so nothing
 * here guesses. Without this module the Python reads all lines, with the same result.
 *
 * price() prices calls, and unchanged() looks at many files: each is what the Python does that
 * calls it where there is no such module.
 *
 * No byte outside the line at hand is looked at: every step is given the end of the line.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include <Python.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORM 5 /* what codex.py expects; raise both when read() or what it does changes */
#define IDLE_MS (6LL * 3600000)
#define NONE INT64_MIN
#define NEAR 400 /* bytes of a line in which the name of an event may stand */

typedef const unsigned char *Place;

/* ── text ────────────────────────────────────────────────────────────────────────────── */

#define TAKE(at, end, text) take(at, end, text, sizeof(text) - 1)
#define HAS(from, end, text) (memmem(from, (size_t)((end) - (from)), text, sizeof(text) - 1) != NULL)

/* Step over `text`; false where it does not stand. */
static int take(Place *at, Place end, const char *text, Py_ssize_t size)
{
    if (end - *at < size || memcmp(*at, text, (size_t)size) != 0)
        return 0;
    *at += size;
    return 1;
}

/* Step over a number of at most `most` digits (15 fit in any case). */
static int number(Place *at, Place end, int most, int64_t *value)
{
    Place p = *at;
    int64_t sum = 0;
    while (p < end && *p >= '0' && *p <= '9' && p - *at < most)
        sum = sum * 10 + (*p++ - '0');
    if (p == *at)
        return 0;
    *at = p, *value = sum;
    return 1;
}

static int digits(Place *at, Place end, int count, int64_t *value)
{
    Place p = *at;
    return number(at, end, count, value) && *at - p == count;
}

/* Step over the rest of a JSON text without escapes, and the quote that ends it. */
static int text(Place *at, Place end, Place *from, Py_ssize_t *size)
{
    Place quote = memchr(*at, '"', (size_t)(end - *at));
    if (!quote || memchr(*at, '\\', (size_t)(quote - *at)))
        return 0;
    *from = *at, *size = quote - *at, *at = quote + 1;
    return 1;
}

static int word(Place *at, Place end, Py_ssize_t most)
{
    Place p = *at;
    while (p < end && p - *at <= most &&
           ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
            *p == '_'))
        p++;
    if (p == *at || p - *at > most)
        return 0;
    *at = p;
    return 1;
}

static int is_utf8(Place p, Place end)
{
    while (p < end) {
        unsigned c = *p++;
        int more = c < 0x80 ? 0 : c < 0xc2 ? -1 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : -1;
        if (more < 0 || end - p < more)
            return 0;
        if (more >= 2 && ((c == 0xe0 && *p < 0xa0) || (c == 0xed && *p > 0x9f) ||
                          (c == 0xf0 && *p < 0x90) || (c == 0xf4 && *p > 0x8f)))
            return 0;
        while (more--)
            if ((*p++ & 0xc0) != 0x80)
                return 0;
    }
    return 1;
}

/* Made for wider registers too, of which the right one is chosen when the program starts. */
#if defined(__GLIBC__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

/* Whether a line is text without a NUL; nearly all are letters, which a compiler makes quick. */
WIDE static int is_text(Place p, Place end)
{
    size_t size = (size_t)(end - p);
    unsigned char other = 0, zero = 0;
    for (size_t n = 0; n < size; n++) {
        other |= p[n];
        zero |= p[n] == 0;
    }
    return !zero && (other < 0x80 || is_utf8(p, end));
}

/* The checksum of zlib, which the stored state has. */
static uint32_t crc32_of(Place p, Place end)
{
    static uint32_t table[256];
    uint32_t sum = 0xffffffffu;
    if (!table[1])
        for (uint32_t n = 0; n < 256; n++) {
            uint32_t c = n;
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
            table[n] = c;
        }
    while (p < end)
        sum = table[(sum ^ *p++) & 0xff] ^ (sum >> 8);
    return ~sum;
}

/* ── heads and figures ───────────────────────────────────────────────────────────────── */

/* Milliseconds of a UTC minute; false for a date that is none. */
static int minute_ms(const int64_t part[5], int64_t *ms)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t y = part[0], m = part[1], d = part[2];
    if (y < 1970 || m < 1 || m > 12 || d < 1 || part[3] > 23 || part[4] > 59)
        return 0;
    int leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d > lengths[m - 1] + (m == 2 && leap))
        return 0;
    int64_t days = (y - 1970) * 365 + (y - 1969) / 4 - (y - 1901) / 100 + (y - 1601) / 400 + d - 1;
    for (int n = 0; n < m - 1; n++)
        days += lengths[n];
    days += m > 2 && leap;
    *ms = ((days * 24 + part[3]) * 60 + part[4]) * 60000;
    return 1;
}

/* {"timestamp":"2026-01-02T03:04:05.678Z","ordinal":9,"type": */
static int opening(Place *at, Place end, int64_t *ms)
{
    static const char after[] = "--T::.";
    static const int sizes[] = {4, 2, 2, 2, 2, 2, 3};
    int64_t part[7], base;
    if (!TAKE(at, end, "{\"timestamp\":\""))
        return 0;
    for (int n = 0; n < 7; n++)
        if (!digits(at, end, sizes[n], &part[n]) || (n < 6 && !take(at, end, after + n, 1)))
            return 0;
    if (!TAKE(at, end, "Z\",") || !minute_ms(part, &base))
        return 0;
    *ms = base + part[5] * 1000 + part[6];
    if (TAKE(at, end, "\"ordinal\":") && (!number(at, end, 15, &base) || !TAKE(at, end, ",")))
        return 0;
    return TAKE(at, end, "\"type\":\"");
}

enum { INPUT, CACHED, WRITTEN, OUTPUT, REASONING, TOTAL, FIGURES };

/* {"input_tokens":1,…,"total_tokens":2 ; `written`: whether what was written must be told. */
static int figures(Place *at, Place end, int written, int64_t found[FIGURES])
{
    if (!TAKE(at, end, "{\"input_tokens\":") || !number(at, end, 15, &found[INPUT]) ||
        !TAKE(at, end, ",\"cached_input_tokens\":") || !number(at, end, 15, &found[CACHED]))
        return 0;
    found[WRITTEN] = 0;
    if (TAKE(at, end, ",\"cache_write_input_tokens\":")) {
        if (!number(at, end, 15, &found[WRITTEN]))
            return 0;
    } else if (written)
        return 0;
    return TAKE(at, end, ",\"output_tokens\":") && number(at, end, 15, &found[OUTPUT]) &&
           TAKE(at, end, ",\"reasoning_output_tokens\":") &&
           number(at, end, 15, &found[REASONING]) && TAKE(at, end, ",\"total_tokens\":") &&
           number(at, end, 15, &found[TOTAL]);
}

/* ── the state, and what is found ────────────────────────────────────────────────────── */

enum { OWNER, MODEL, EFFORT, TURN, LAST_TURN, LAST_ID, TEXTS };
enum { EPOCH, TURN_AT, OUTPUT_AT, COUNT, WINDOW, LIMITS, NUMBERS };
enum { A, B, C, D, RUNNING, SUMS };

static const char *const text_names[] = {"owner", "model", "effort", "turn", "last_turn", "last_id"};
static const char *const number_names[] = {"epoch", "turn_at", "output_at",
                                           "count", "window", "limits"};

typedef struct {
    PyObject *texts[TEXTS]; /* NULL: none */
    int64_t numbers[NUMBERS];
    int64_t totals[SUMS];
    int totals_size; /* 0: none; SUMS; -1: of another kind */
    int records, user, has_meta, has_title, totals_new;
    const char *prefix;
    PyObject *asked, *tool, *unknown;
    PyObject *calls, *compactions, *limits;
    Place data;
    int64_t base;
    Place raw, raw_end; /* the rate limits that `LIMITS` is the checksum of */
} State;

/* What became of a line; of a HEAD, a FIRST message and an ITEM that may be one only what they
 * hold is left to read. */
enum { FAILED = -1, ODD = 0, DONE = 1, HEAD = 2, FIRST = 3, ITEM = 4 };

static void keep(State *state, int which, PyObject *value) /* takes the reference */
{
    Py_XDECREF(state->texts[which]);
    state->texts[which] = value;
}

static int equals(PyObject *known, Place from, Py_ssize_t size)
{
    Py_ssize_t length = 0;
    const char *bytes = known ? PyUnicode_AsUTF8AndSize(known, &length) : NULL;
    if (!bytes) {
        PyErr_Clear();
        return 0;
    }
    return length == size && memcmp(bytes, from, (size_t)size) == 0;
}

static PyObject *as_text(Place from, Py_ssize_t size)
{
    return PyUnicode_DecodeUTF8((const char *)from, size, "strict");
}

static PyObject *or_none(PyObject *value)
{
    value = value ? value : Py_None;
    Py_INCREF(value);
    return value;
}

static PyObject *as_number(int64_t value)
{
    return value == NONE ? or_none(NULL) : PyLong_FromLongLong(value);
}

static int64_t lasted(int64_t at, int64_t began)
{
    return began != NONE && at >= began && at - began <= IDLE_MS ? at - began : NONE;
}

typedef struct {
    PyObject *name, *turn, *initiator; /* borrowed; turn may be NULL */
    int64_t at, duration, running;
    const int64_t *own;
    Place line;
} Call;

static int add(State *state, const Call *call)
{
    PyObject *row = PyTuple_New(15);
    if (!row)
        return FAILED;
    int64_t numbers[] = {call->at,         call->duration,       call->own[INPUT],
                         call->own[CACHED], call->own[WRITTEN],  call->own[OUTPUT],
                         call->own[REASONING], call->running,    state->numbers[WINDOW],
                         state->base + (call->line - state->data)};
    PyTuple_SetItem(row, 0, or_none(call->name));
    PyTuple_SetItem(row, 1, or_none(call->turn));
    PyTuple_SetItem(row, 2, or_none(state->texts[MODEL]));
    PyTuple_SetItem(row, 3, or_none(state->texts[EFFORT]));
    PyTuple_SetItem(row, 4, or_none(call->initiator));
    for (int n = 0; n < 10; n++) {
        PyObject *value = as_number(numbers[n]);
        if (!value) {
            Py_DECREF(row);
            return FAILED;
        }
        PyTuple_SetItem(row, 5 + n, value);
    }
    int failed = PyList_Append(state->calls, row);
    Py_DECREF(row);
    if (failed)
        return FAILED;
    Py_INCREF(call->name);
    keep(state, LAST_ID, call->name);
    state->numbers[COUNT]++;
    state->user = 0;
    state->numbers[TURN_AT] = NONE;
    return DONE;
}

/* ── kinds of lines ──────────────────────────────────────────────────────────────────── */

/* A response that names itself. */
static int usage_record(State *state, Place at, Place line, Place end, int64_t ms)
{
    Place from[3], none;
    Py_ssize_t size[3], skipped;
    int64_t own[FIGURES], running;
    if (!TAKE(&at, end, ",\"payload\":{\"thread_id\":\"") || !text(&at, end, &from[0], &size[0]) ||
        !size[0] || !TAKE(&at, end, ",\"turn_id\":\"") || !text(&at, end, &from[1], &size[1]) ||
        !TAKE(&at, end, ",\"session_id\":\"") || !text(&at, end, &none, &skipped) ||
        !TAKE(&at, end, ",\"root_turn_id\":\"") || !text(&at, end, &none, &skipped) ||
        !TAKE(&at, end, ",\"response_id\":\"") || !text(&at, end, &from[2], &size[2]) || !size[2] ||
        !TAKE(&at, end, ",\"usage\":") || !figures(&at, end, 1, own) ||
        !TAKE(&at, end, "},\"turn_token_usage\":{"))
        return ODD;
    /* The session's total is the last figure of the line. */
    if (end - at < 4 || memcmp(end - 3, "}}}", 3) != 0)
        return ODD;
    Place digit = end - 3, last;
    while (digit > at && digit[-1] >= '0' && digit[-1] <= '9' && end - 3 - digit < 16)
        digit--;
    last = digit;
    if (last - at < 15 || memcmp(last - 15, "\"total_tokens\":", 15) != 0 ||
        !number(&last, end - 3, 15, &running) || last != end - 3)
        return ODD;

    PyObject **texts = state->texts;
    state->records = 1;
    if (!texts[OWNER] || (!state->has_meta && !texts[LAST_ID])) {
        PyObject *thread = as_text(from[0], size[0]);
        if (!thread)
            return FAILED;
        keep(state, OWNER, thread);
    } else if (!equals(texts[OWNER], from[0], size[0]))
        return DONE; /* copied history: the call belongs to the thread it names */
    int same = equals(texts[LAST_TURN], from[1], size[1]);
    Call call = {NULL, NULL, same && !state->user ? state->tool : state->asked,
                 ms, NONE, running, own, line};
    int64_t began = state->numbers[OUTPUT_AT];
    if (state->numbers[TURN_AT] > began)
        began = state->numbers[TURN_AT];
    call.duration = lasted(ms, began > 0 ? began : NONE);
    if (!same) {
        PyObject *turn = as_text(from[1], size[1]);
        if (!turn)
            return FAILED;
        keep(state, LAST_TURN, turn);
    }
    call.turn = size[1] ? texts[LAST_TURN] : NULL;
    call.name = as_text(from[2], size[2]);
    if (!call.name)
        return FAILED;
    int done = add(state, &call);
    Py_DECREF(call.name);
    return done;
}

/* A call of a client that named none: its counter moved. */
static int legacy_call(State *state, Place line, int64_t at, const int64_t own[FIGURES])
{
    char name[160];
    const int64_t *sums = state->totals;
    int size = snprintf(name, sizeof name, "%s_%lld_%llx_%llx_%llx_%llx", state->prefix,
                        (long long)state->numbers[EPOCH], (long long)sums[A], (long long)sums[B],
                        (long long)sums[C], (long long)sums[D]);
    if (size < 0 || size >= (int)sizeof name)
        return ODD;
    Call call = {as_text((Place)name, size), state->texts[TURN],
                 state->user ? state->asked : state->numbers[COUNT] ? state->tool : state->unknown,
                 at, lasted(at, state->numbers[TURN_AT]), sums[RUNNING], own, line};
    if (!call.name)
        return FAILED;
    int done = add(state, &call);
    Py_DECREF(call.name);
    return done;
}

static int counted(State *state, Place line, int64_t at, const int64_t told[FIGURES],
                   int64_t own[FIGURES])
{
    const int64_t sums[] = {told[INPUT], told[CACHED], told[OUTPUT], told[REASONING], told[TOTAL]};
    int64_t *before = state->totals;
    state->numbers[OUTPUT_AT] = at;
    if (state->records)
        return DONE;
    int known = state->totals_size == SUMS, lower = 0;
    if (known && memcmp(sums, before, sizeof sums) == 0)
        return DONE;
    for (int n = 0; n < SUMS; n++)
        lower |= known && sums[n] < before[n];
    if (!own[INPUT] && !own[CACHED] && !own[WRITTEN] && !own[OUTPUT] && !own[REASONING]) {
        int since = known && !lower;
        own[INPUT] = sums[A] - (since ? before[A] : 0);
        own[CACHED] = sums[B] - (since ? before[B] : 0);
        own[OUTPUT] = sums[C] - (since ? before[C] : 0);
        own[REASONING] = sums[D] - (since ? before[D] : 0);
    }
    state->numbers[EPOCH] += lower;
    memcpy(before, sums, sizeof sums);
    state->totals_size = SUMS, state->totals_new = 1;
    if (!own[INPUT] && !own[CACHED] && !own[WRITTEN] && !own[OUTPUT] && !own[REASONING])
        return DONE;
    return legacy_call(state, line, at, own);
}

/* Keep rate limits that differ from the last; a NULL `raw` is none. */
static int rate_limits(State *state, Place raw, Place end, int64_t at)
{
    if (!raw)
        return DONE;
    if (state->raw && end - raw == state->raw_end - state->raw &&
        memcmp(raw, state->raw, (size_t)(end - raw)) == 0)
        return DONE;
    int64_t sum = crc32_of(raw, end);
    if (sum != state->numbers[LIMITS]) {
        PyObject *pair = Py_BuildValue("(Ly#)", (long long)at, (const char *)raw, end - raw);
        int failed = !pair || PyList_Append(state->limits, pair);
        Py_XDECREF(pair);
        if (failed)
            return FAILED;
    }
    state->numbers[LIMITS] = sum;
    state->raw = raw, state->raw_end = end;
    return DONE;
}

static int token_count(State *state, Place at, Place line, Place end, int64_t ms)
{
    int64_t told[FIGURES], own[FIGURES], window = NONE;
    Place raw = NULL;
    if (state->totals_size < 0 && !state->records)
        return ODD;
    if (TAKE(&at, end, ",\"info\":null,\"rate_limits\":null}}")) {
        if (at != end)
            return ODD;
        state->numbers[OUTPUT_AT] = ms;
        return DONE;
    }
    if (!TAKE(&at, end, ",\"info\":{\"total_token_usage\":") || !figures(&at, end, 0, told) ||
        !TAKE(&at, end, "},\"last_token_usage\":") || !figures(&at, end, 0, own) ||
        !TAKE(&at, end, "},"))
        return ODD;
    if (TAKE(&at, end, "\"last_usage_includes_reasoning\":") &&
        (!word(&at, end, 60) || !TAKE(&at, end, ",")))
        return ODD;
    if (!TAKE(&at, end, "\"model_context_window\":") ||
        (!TAKE(&at, end, "null") && !number(&at, end, 15, &window)) || !TAKE(&at, end, "}"))
        return ODD;
    if (TAKE(&at, end, ",\"rate_limits\":")) {
        if (end - at < 4 || end[-1] != '}' || end[-2] != '}')
            return ODD;
        if (!(end - 2 - at == 4 && memcmp(at, "null", 4) == 0)) {
            if (*at != '{' || end[-3] != '}' || end - 3 == at)
                return ODD;
            raw = at;
        }
    } else if (!TAKE(&at, end, "}}") || at != end)
        return ODD;
    int kept = rate_limits(state, raw, end - 2, ms);
    if (kept != DONE)
        return kept;
    if (window != NONE)
        state->numbers[WINDOW] = window;
    return counted(state, line, ms, told, own);
}

/* The first text behind a key that is not empty, of at most `most` bytes and without escapes. */
static PyObject *given(Place line, Place end, const char *key, int most, const char *also)
{
    size_t size = strlen(key), head = also ? strlen(also) : 0;
    Place from = line, place;
    while ((place = memmem(from, (size_t)(end - from), key, size)) != NULL) {
        from = place + size;
        int headed = (place > line && place[-1] == '"') ||
                     (also && (size_t)(place - line) >= head && !memcmp(place - head, also, head));
        Place at = from;
        TAKE(&at, end, " ");
        if (!headed || !TAKE(&at, end, "\""))
            continue;
        from = at;
        Place quote = memchr(from, '"', (size_t)(end - from));
        if (quote && quote > from && quote - from <= most &&
            !memchr(from, '\\', (size_t)(quote - from)))
            return as_text(from, quote - from);
    }
    return or_none(NULL);
}

static int turn_context(State *state, Place line, Place end, int64_t ms)
{
    static const struct {
        int which, most;
        const char *key, *also;
    } wanted[] = {{MODEL, 200, "model\":", NULL},
                  {EFFORT, 40, "effort\":", "\"reasoning_"},
                  {TURN, 200, "turn_id\":", NULL}};
    for (int n = 0; n < 3; n++) {
        PyObject *said = given(line, end, wanted[n].key, wanted[n].most, wanted[n].also);
        if (!said)
            return FAILED;
        if (said != Py_None)
            keep(state, wanted[n].which, said);
        else {
            Py_DECREF(said);
            if (wanted[n].which != MODEL)
                keep(state, wanted[n].which, NULL);
        }
    }
    state->numbers[TURN_AT] = ms;
    return DONE;
}

/* The call before it made the summary. */
static int compacted(State *state, Place at, Place end)
{
    PyObject *name = state->texts[LAST_ID];
    if (HAS(at, end, "\"compacted\""))
        return ODD;
    if (!state->records || !name)
        return DONE;
    Py_ssize_t size = PyList_Size(state->calls);
    PyObject *last = size ? PyList_GetItem(state->calls, size - 1) : NULL;
    if (!last || PyUnicode_Compare(PyTuple_GetItem(last, 0), name) != 0)
        return PyList_Append(state->compactions, name) ? FAILED : DONE;
    PyObject *parts = PySequence_List(last), *kind = PyUnicode_FromString("compaction");
    if (!parts || !kind || PyList_SetItem(parts, 4, kind)) {
        Py_XDECREF(parts); /* a failed PyList_SetItem has taken `kind` */
        return FAILED;
    }
    PyObject *row = PyList_AsTuple(parts);
    Py_DECREF(parts);
    return !row || PyList_SetItem(state->calls, size - 1, row) ? FAILED : DONE;
}

/* The first whole number behind a name, unless it is 0 or too long. */
static int context_window(State *state, Place at, Place end)
{
    static const char name[] = "\"model_context_window\":";
    int64_t window;
    at = memmem(at, (size_t)(end - at), name, sizeof name - 1);
    if (!at)
        return DONE;
    at += sizeof name - 1;
    while (at < end && *at == ' ')
        at++;
    if (number(&at, end, 15, &window) && window && (at == end || *at < '0' || *at > '9'))
        state->numbers[WINDOW] = window;
    return DONE;
}

/* What an event is that names a user's item near its beginning. */
static int users_item(Place line, Place at, Place end)
{
    static const char name[] = "\"UserMessage\"";
    Place last = line + NEAR - 1 + sizeof name - 1; /* so that it begins within NEAR */
    Place place = memmem(at, (size_t)((last < end ? last : end) - at), name, sizeof name - 1);
    return place && place[-1] != '\\' ? ITEM : ODD;
}

static int event(State *state, Place at, Place line, Place end, int64_t ms)
{
    if (!TAKE(&at, end, ",\"payload\":{\"type\":\""))
        return ODD;
    Place name = at;
    if (!word(&at, end, 60) || !TAKE(&at, end, "\""))
        return ODD;
    Py_ssize_t size = at - name; /* its last quote included */
#define IS(text) (size == sizeof(text) && !memcmp(name, text "\"", sizeof(text)))
    if (IS("token_count"))
        return token_count(state, at, line, end, ms);
    if (HAS(name - 1, end, "\"token_"))
        return ODD;
    at--; /* that quote may begin a word */
    Place near = end - line > NEAR + 16 ? line + NEAR + 16 : end;
    if (at < near && (HAS(at, near, "\"user_message\"") || HAS(at, near, "\"task_started\"")))
        return ODD;
    if (!state->has_title && HAS(at, near, "\"UserMessage\""))
        return users_item(line, at, end);
    if (!state->has_title && IS("user_message"))
        return FIRST;
    if (IS("task_started") && state->numbers[WINDOW] <= 0) /* 0 is as good as none */
        return context_window(state, at, end);
    if (IS("user_message"))
        state->user = 1;
    return DONE;
}

/* One line, its newline left out. */
static int read_line(State *state, Place line, Place end)
{
    Place at = line;
    int64_t ms;
    if (end == line || end[-1] != '}' || !opening(&at, end, &ms) || !is_text(at, end))
        return ODD;
    Place name = at;
    if (!word(&at, end, 60) || !TAKE(&at, end, "\""))
        return ODD;
    Py_ssize_t size = at - name;
    if (IS("event_msg"))
        return event(state, at, line, end, ms);
    if (IS("token_usage_record"))
        return usage_record(state, at, line, end, ms);
    if (IS("turn_context"))
        return turn_context(state, line, end, ms);
    if (IS("compacted"))
        return compacted(state, at, end);
    if (IS("session_meta"))
        return HAS(at, end, "\"session_meta\"") ? ODD : HEAD;
    return DONE;
}

/* ── from Python and back ────────────────────────────────────────────────────────────── */

static int64_t whole(PyObject *value)
{
    int64_t found = PyLong_Check(value) ? PyLong_AsLongLong(value) : NONE;
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return NONE;
    }
    return found;
}

static PyObject *item(PyObject *values, const char *name) /* borrowed, never NULL */
{
    PyObject *found = PyDict_GetItemString(values, name);
    return found ? found : Py_None;
}

static void load(State *state, PyObject *values)
{
    for (int n = 0; n < TEXTS; n++) {
        PyObject *value = item(values, text_names[n]);
        state->texts[n] = PyUnicode_Check(value) ? or_none(value) : NULL;
    }
    for (int n = 0; n < NUMBERS; n++)
        state->numbers[n] = whole(item(values, number_names[n]));
    if (state->numbers[EPOCH] == NONE)
        state->numbers[EPOCH] = 0;
    if (state->numbers[COUNT] == NONE)
        state->numbers[COUNT] = 0;
    state->records = PyObject_IsTrue(item(values, "records")) == 1;
    state->user = PyObject_IsTrue(item(values, "user")) == 1;
    state->has_meta = item(values, "meta") != Py_None;
    state->has_title = item(values, "title") != Py_None;
    PyObject *totals = item(values, "totals");
    state->totals_size = totals == Py_None ? 0 : -1;
    if (PyList_Check(totals) && PyList_Size(totals) == SUMS) {
        state->totals_size = SUMS;
        for (int n = 0; n < SUMS; n++) {
            state->totals[n] = whole(PyList_GetItem(totals, n));
            if (state->totals[n] == NONE)
                state->totals_size = -1;
        }
    }
}

static int put(PyObject *values, const char *name, PyObject *value) /* takes the reference */
{
    int failed = !value || PyDict_SetItemString(values, name, value);
    Py_XDECREF(value);
    return failed;
}

static int save(State *state, PyObject *values)
{
    for (int n = 0; n < TEXTS; n++)
        if (put(values, text_names[n], or_none(state->texts[n])))
            return FAILED;
    for (int n = 0; n < NUMBERS; n++)
        if (put(values, number_names[n], as_number(state->numbers[n])))
            return FAILED;
    if (put(values, "records", PyBool_FromLong(state->records)) ||
        put(values, "user", PyBool_FromLong(state->user)))
        return FAILED;
    if (!state->totals_new)
        return DONE;
    const int64_t *t = state->totals;
    PyObject *totals = Py_BuildValue("[LLLLL]", (long long)t[A], (long long)t[B], (long long)t[C],
                                     (long long)t[D], (long long)t[RUNNING]);
    return put(values, "totals", totals) ? FAILED : DONE;
}

static const char read_doc[] =
    "read(data, place, base, state, prefix, asked, calls, compactions, limits)\n"
    "    -> (place, end, lines, kind)\n\n"
    "Take the usual lines of `data` (whole lines) from `place` on. Calls, names of compactions and\n"
    "(time, rate limits as bytes) are appended to the lists, and `state` (a dict) is brought up to\n"
    "date. Returns where the first line that is not usual begins and ends, or twice the end of\n"
    "`data`; how many lines were taken; and of that line 2 for a session's head, 3 for a user's\n"
    "message and 4 for a user's item, which may give the title, 0 for any other.";

static PyObject *read_(PyObject *module, PyObject *args)
{
    Py_buffer data;
    Py_ssize_t place, lines = 0;
    long long base;
    PyObject *values;
    State state = {0};
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nLO!sUO!O!O!", &data, &place, &base, &PyDict_Type, &values,
                          &state.prefix, &state.asked, &PyList_Type, &state.calls, &PyList_Type,
                          &state.compactions, &PyList_Type, &state.limits))
        return NULL;
    Place end = (Place)data.buf + data.len, stop = end;
    Place line = (Place)data.buf + (place < 0 || place > data.len ? data.len : place);
    int done = DONE;
    state.data = data.buf, state.base = base;
    state.tool = PyUnicode_InternFromString("tool");
    state.unknown = PyUnicode_InternFromString("unknown");
    if (!state.tool || !state.unknown)
        done = FAILED;
    load(&state, values);
    while (done == DONE && line < end) {
        Place next = memchr(line, '\n', (size_t)(end - line));
        stop = next ? next + 1 : end;
        done = next ? read_line(&state, line, next) : ODD;
        if (done == DONE)
            line = stop, lines++;
    }
    if (done != FAILED && save(&state, values) == FAILED)
        done = FAILED;
    for (int n = 0; n < TEXTS; n++)
        Py_XDECREF(state.texts[n]);
    Py_XDECREF(state.tool);
    Py_XDECREF(state.unknown);
    Py_ssize_t at = line - (Place)data.buf, after = stop - (Place)data.buf;
    PyBuffer_Release(&data);
    return done == FAILED ? NULL : Py_BuildValue("(nnni)", at, after, lines, done == DONE ? 0 : done);
}

/* ── prices ──────────────────────────────────────────────────────────────────────────── */

#define MOST (1LL << 40) /* tokens, and rates below 2^20: no sum of four products overflows */
#define HIGHEST (1LL << 20)
#define QUARTER_MS 900000 /* no zone begins a day within one */

enum { CALLS_SUM, INPUT_SUM, CACHED_SUM, OUTPUT_SUM, REASONING_SUM, COST_SUM, DAY_SUMS };

typedef struct {
    long long normal[4], extended[4], credit[4];
    long long longest, since, until; /* longest: the input above which a call is a long one */
} Tariff;

/* Rates below 0 are none. */
static int64_t price(const long long rates[4], const int64_t tokens[FIGURES])
{
    if (rates[0] < 0)
        return NONE;
    int64_t fresh = tokens[INPUT] - tokens[CACHED] - tokens[WRITTEN];
    return (fresh * rates[0] + tokens[CACHED] * rates[1] + tokens[WRITTEN] * rates[2] +
            tokens[OUTPUT] * rates[3] + 500) / 1000;
}

/* The time and the tokens of a call, where they can be; `model` is what the tariff is for. */
static int plain(PyObject *call, PyObject *model, int64_t *at, int64_t tokens[FIGURES])
{
    if (!PyTuple_Check(call) || PyTuple_Size(call) != 15)
        return 0;
    PyObject *own = PyTuple_GetItem(call, 2);
    if (own != model && (!PyUnicode_Check(own) || !PyUnicode_Check(model) ||
                         PyUnicode_Compare(own, model) != 0))
        return 0;
    *at = whole(PyTuple_GetItem(call, 5));
    for (int n = 0; n <= REASONING; n++) {
        tokens[n] = whole(PyTuple_GetItem(call, 7 + n));
        if (tokens[n] < 0 || tokens[n] >= MOST)
            return 0;
    }
    return tokens[CACHED] + tokens[WRITTEN] <= tokens[INPUT] && tokens[REASONING] <= tokens[OUTPUT];
}

static int add_priced(PyObject *rows, PyObject *call, int64_t cost, int64_t credits, PyObject *status)
{
    PyObject *row = PyTuple_New(18);
    if (!row)
        return FAILED;
    for (int n = 0; n < 15; n++)
        PyTuple_SetItem(row, n, or_none(PyTuple_GetItem(call, n)));
    PyObject *values[] = {as_number(cost), as_number(credits), or_none(status)};
    for (int n = 0; n < 3; n++)
        PyTuple_SetItem(row, 15 + n, values[n]);
    int failed = !values[0] || !values[1] || PyList_Append(rows, row);
    Py_DECREF(row);
    return failed ? FAILED : DONE;
}

static int in_range(const long long rates[4])
{
    for (int n = 0; n < 4; n++)
        if ((rates[n] < 0) != (rates[0] < 0) || rates[n] >= HIGHEST)
            return 0;
    return 1;
}

static const char price_doc[] =
    "price(calls, place, rows, model, status, tariff) -> (place, sums)\n\n"
    "Append the calls from `place` on to `rows`, with their prices, as long as the tariff (normal,\n"
    "extended and credit rates, negative where there are none, the longest normal input, since,\n"
    "until) holds for them. Returns the first call for which it does not, and the sums over those\n"
    "before it, by the quarter of an hour: (quarter, calls, input, cached, output, reasoning, cost).";

/* Append a quarter's sums, unless there is no call in it, and begin anew. */
static int add_sums(PyObject *found, int64_t quarter, long long sums[DAY_SUMS])
{
    if (!sums[CALLS_SUM])
        return DONE;
    PyObject *told = Py_BuildValue("(LLLLLLL)", (long long)quarter, sums[CALLS_SUM],
                                   sums[INPUT_SUM], sums[CACHED_SUM], sums[OUTPUT_SUM],
                                   sums[REASONING_SUM], sums[COST_SUM]);
    int failed = !told || PyList_Append(found, told);
    Py_XDECREF(told);
    memset(sums, 0, DAY_SUMS * sizeof *sums);
    return failed ? FAILED : DONE;
}

static PyObject *price_(PyObject *module, PyObject *args)
{
    PyObject *calls, *rows, *model, *status;
    Py_ssize_t place, size;
    Tariff t;
    int64_t tokens[FIGURES], at, quarter = 0;
    long long sums[DAY_SUMS] = {0};
    (void)module;
    if (!PyArg_ParseTuple(args, "O!nO!OU((LLLL)(LLLL)(LLLL)LLL)", &PyList_Type, &calls, &place,
                          &PyList_Type, &rows, &model, &status, &t.normal[0], &t.normal[1],
                          &t.normal[2], &t.normal[3], &t.extended[0], &t.extended[1],
                          &t.extended[2], &t.extended[3], &t.credit[0], &t.credit[1], &t.credit[2],
                          &t.credit[3], &t.longest, &t.since, &t.until))
        return NULL;
    size = place < 0 || !in_range(t.normal) || !in_range(t.extended) || !in_range(t.credit)
               ? 0
                : PyList_Size(calls);
    PyObject *found = PyList_New(0);
    int done = found ? DONE : FAILED;
    for (; done == DONE && place < size; place++) {
        PyObject *call = PyList_GetItem(calls, place);
        if (!plain(call, model, &at, tokens) || at < t.since || at >= t.until)
            break;
        if (at / QUARTER_MS != quarter)
            done = add_sums(found, quarter, sums);
        quarter = at / QUARTER_MS;
        int64_t cost = price(tokens[INPUT] > t.longest ? t.extended : t.normal, tokens);
        if (add_priced(rows, call, cost, price(t.credit, tokens), status) == FAILED)
            done = FAILED;
        const int64_t told[] = {1, tokens[INPUT], tokens[CACHED], tokens[OUTPUT],
                                tokens[REASONING], cost == NONE ? 0 : cost};
        for (int n = 0; n < DAY_SUMS; n++)
            sums[n] += told[n];
    }
    if (done == FAILED || add_sums(found, quarter, sums) == FAILED) {
        Py_XDECREF(found);
        return NULL;
    }
    return Py_BuildValue("(nN)", place, found);
}

/* ── files ───────────────────────────────────────────────────────────────────────────── */

#ifdef __APPLE__
#define CHANGED_AT(said) (said).st_mtimespec
#else
#define CHANGED_AT(said) (said).st_mtim
#endif

static int is_as(int folder, const char *name, const int64_t known[3])
{
    struct stat said;
    if (fstatat(folder, name, &said, 0))
        return 0;
    int64_t at = (int64_t)CHANGED_AT(said).tv_sec * 1000000000 + CHANGED_AT(said).tv_nsec;
    return said.st_size == known[0] && at == known[1] && (int64_t)said.st_ino == known[2];
}

static const char unchanged_doc[] =
    "unchanged(folder, names, known) -> bool\n\n"
    "Whether each file of an open folder has the size, time (ns) and inode that `known` holds for\n"
    "it, as three 64-bit numbers a file.";

static PyObject *unchanged_(PyObject *module, PyObject *args)
{
    PyObject *names;
    Py_buffer known;
    int folder, same;
    (void)module;
    if (!PyArg_ParseTuple(args, "iO!y*", &folder, &PyList_Type, &names, &known))
        return NULL;
    Py_ssize_t count = PyList_Size(names), n;
    const char **texts = malloc(sizeof *texts * (size_t)(count + 1));
    same = texts && known.len == count * 24;
    for (n = 0; same && n < count; n++) {
        texts[n] = PyUnicode_AsUTF8AndSize(PyList_GetItem(names, n), NULL);
        same = texts[n] != NULL;
    }
    PyErr_Clear();
    Py_BEGIN_ALLOW_THREADS /* the texts last as long as the list, which is the caller's own */
    for (n = 0; same && n < count; n++)
        same = is_as(folder, texts[n], (const int64_t *)known.buf + 3 * n);
    Py_END_ALLOW_THREADS
    free(texts);
    PyBuffer_Release(&known);
    return PyBool_FromLong(same);
}

static PyMethodDef methods[] = {{"read", read_, METH_VARARGS, read_doc},
                                {"price", price_, METH_VARARGS, price_doc},
                                {"unchanged", unchanged_, METH_VARARGS, unchanged_doc},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "usual", "The usual lines of Codex rollouts.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_usual(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "FORM", FORM)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
