/* What the usual lines of Codex rollouts say: `codex.py`, compiled; nothing here knows Python.
 *
 * A line is taken where its meaning is certain from its shape; any other is left to the Python,
 * which knows every shape, so nothing here guesses. No byte outside the line at hand is looked
 * at: every step is given the end of the line.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MS (6LL * 3600000)
#define NONE INT64_MIN
#define NEAR 400 /* bytes of a line in which the name of an event may stand */

typedef const unsigned char *Place;

/* ── text ────────────────────────────────────────────────────────────────────────────── */

#define TAKE(at, end, text) take(at, end, text, sizeof(text) - 1)
#define HAS(from, end, text) (memmem(from, (size_t)((end) - (from)), text, sizeof(text) - 1) != NULL)

/* Step over `text`; false where it does not stand. */
static int take(Place *at, Place end, const char *text, ptrdiff_t size)
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
static int text(Place *at, Place end, Place *from, ptrdiff_t *size)
{
    Place quote = memchr(*at, '"', (size_t)(end - *at));
    if (!quote || memchr(*at, '\\', (size_t)(quote - *at)))
        return 0;
    *from = *at, *size = quote - *at, *at = quote + 1;
    return 1;
}

static int word(Place *at, Place end, ptrdiff_t most)
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
#if defined(__GLIBC__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__)
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
static uint32_t crc_table[256];

static void begin_crc(void) /* once, before any thread */
{
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
        crc_table[n] = c;
    }
}

static uint32_t crc32_of(Place p, Place end)
{
    uint32_t sum = 0xffffffffu;
    while (p < end)
        sum = crc_table[(sum ^ *p++) & 0xff] ^ (sum >> 8);
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

/* {"timestamp":"2026-01-02T03:04: */
static int minute(Place *at, Place end, int64_t *ms)
{
    static const char after[] = "--T::";
    static const int sizes[] = {4, 2, 2, 2, 2};
    int64_t part[5];
    if (!TAKE(at, end, "{\"timestamp\":\""))
        return 0;
    for (int n = 0; n < 5; n++)
        if (!digits(at, end, sizes[n], &part[n]) || !take(at, end, after + n, 1))
            return 0;
    return minute_ms(part, ms);
}

/* {"timestamp":"2026-01-02T03:04:05.678Z","ordinal":9,"type": ; most lines are of the minute of
 * the line before them. */
static int opening(Place *at, Place end, int64_t *ms)
{
    static _Thread_local char known[sizeof "{\"timestamp\":\"2026-01-02T03:04:" - 1];
    static _Thread_local int64_t base;
    int64_t second, thousandth, ordinal;
    Place from = *at;
    if (!take(at, end, known, sizeof known)) {
        if (!minute(at, end, &base))
            return 0;
        memcpy(known, from, sizeof known);
    }
    if (!digits(at, end, 2, &second) || !TAKE(at, end, ".") ||
        !digits(at, end, 3, &thousandth) || !TAKE(at, end, "Z\","))
        return 0;
    *ms = base + second * 1000 + thousandth;
    if (TAKE(at, end, "\"ordinal\":") && (!number(at, end, 15, &ordinal) || !TAKE(at, end, ",")))
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
enum { EPOCH, TURN_AT, OUTPUT_AT, COUNT, WINDOW, LIMITS, HEARD, ENDED, NUMBERS };
enum { A, B, C, D, RUNNING, SUMS, AHEAD };
enum { ASKED, TOOL, UNKNOWN, COMPACTION, AGENT, USER, INITIATORS }; /* who began a call; ASKED: whoever
                                                               * asks a turn */
/* What was heard since the last call, and so many bits higher what was before it. */
enum { BY_TOOL = 1, BY_COMPACTION = 2, BY_AGENT = 4, BY_TURN = 8, EARLIER = 4 };
enum { LINES, EVENTS, SHAPES }; /* what may be of a kind that nobody knows */

/* Memory that only grows, up to `most` bytes. */
typedef struct {
    unsigned char *data;
    size_t size, room, most;
} Heap;

/* `size` bytes behind what is there; NULL where there is no room. */
static void *more(Heap *heap, size_t size)
{
    if (size > heap->most || heap->size > heap->most - size)
        return NULL;
    if (!heap->data || heap->size + size > heap->room) {
        size_t room = heap->room ? heap->room : 4096;
        while (room < heap->size + size)
            room *= 2;
        unsigned char *data = realloc(heap->data, room);
        if (!data)
            return NULL;
        heap->data = data, heap->room = room;
    }
    heap->size += size;
    return heap->data + heap->size - size;
}

typedef struct {
    uint32_t at, size; /* in the heap of texts */
} Text;

static const Text nothing = {UINT32_MAX, 0};

#define GIVEN(text) ((text).at != UINT32_MAX)

/* The places of a call's numbers. */
enum { AT, DURATION, N_INPUT, N_CACHED, N_WRITTEN, N_OUTPUT, N_REASONING, N_RUNNING, N_WINDOW,
       N_OFFSET, CALL_NUMBERS };

typedef struct {
    Text name, turn, model, effort;
    int64_t numbers[CALL_NUMBERS];
    int initiator;
    int made_up; /* the name lacks the beginning that all of a thread's have */
    int tariff;  /* by which it is priced */
    int shared;  /* another log of Claude tells it, too */
    int64_t cost, credits, hour; /* hour: what of N_WRITTEN is kept so long; of Claude's alone */
    uint64_t mark; /* of the name and, where that is made up, the thread: alike of the same call */
} Call;

typedef struct {
    int64_t at;
    Text raw;
} Limit;

typedef struct {
    Text texts[TEXTS];
    int64_t numbers[NUMBERS];
    int64_t totals[SUMS];
    int totals_size; /* 0: none; SUMS; AHEAD: the first is where it began; -1: of another kind */
    int records, user, has_meta, has_title, totals_new, last_made_up;
    int64_t unknown[SHAPES];         /* lines and events of such a kind */
    Heap heap;                       /* of texts */
    Heap calls, compactions, limits; /* of Call, Text and Limit */
    Place data;
    int64_t base;
    Text raw; /* the rate limits that `LIMITS` is the checksum of */
} State;

#define CALLS(state) ((Call *)(void *)(state)->calls.data)
#define CALL_COUNT(state) ((state)->calls.size / sizeof(Call))

/* What became of a line; of a HEAD, a FIRST message and an ITEM that may be one only what they
 * hold is left to read. */
enum { FAILED = -1, ODD = 0, DONE = 1, HEAD = 2, FIRST = 3, ITEM = 4 };

static Place bytes_of(const State *state, Text text)
{
    return state->heap.data + text.at;
}

static int same(const State *state, Text known, Place from, size_t size)
{
    return GIVEN(known) && known.size == size && memcmp(bytes_of(state, known), from, size) == 0;
}

/* Keep a text; `known` is taken again where it is the same. */
static int keep(State *state, Text *known, Place from, size_t size)
{
    if (same(state, *known, from, size))
        return DONE;
    void *to = more(&state->heap, size);
    if (!to)
        return FAILED;
    memcpy(to, from, size);
    known->at = (uint32_t)(state->heap.size - size), known->size = (uint32_t)size;
    return DONE;
}

/* A mark of some bytes, on top of another. */
static uint64_t marked(uint64_t mark, Place from, size_t size)
{
    while (size) {
        uint64_t word = size;
        size_t part = size < 8 ? size : 8;
        memcpy(&word, from, part);
        mark = (mark ^ word) * 0x9e3779b97f4a7c15u;
        mark ^= mark >> 29;
        from += part, size -= part;
    }
    return mark;
}

static int64_t lasted(int64_t at, int64_t began)
{
    return began != NONE && at >= began && at - began <= IDLE_MS ? at - began : NONE;
}

/* Note a call; its name is the heap's text `name`. */
static int add(State *state, const Call *call, const int64_t own[FIGURES], Place line)
{
    Call *row = more(&state->calls, sizeof *row);
    if (!row)
        return FAILED;
    *row = *call;
    row->tariff = -1;
    row->mark = marked(call->made_up, bytes_of(state, call->name), call->name.size);
    if (call->made_up && GIVEN(state->texts[OWNER]))
        row->mark = marked(row->mark, bytes_of(state, state->texts[OWNER]),
                           state->texts[OWNER].size);
    row->model = state->texts[MODEL], row->effort = state->texts[EFFORT];
    row->numbers[N_INPUT] = own[INPUT], row->numbers[N_CACHED] = own[CACHED];
    row->numbers[N_WRITTEN] = own[WRITTEN], row->numbers[N_OUTPUT] = own[OUTPUT];
    row->numbers[N_REASONING] = own[REASONING];
    row->numbers[N_WINDOW] = state->numbers[WINDOW];
    row->numbers[N_OFFSET] = state->base + (line - state->data);
    state->texts[LAST_ID] = call->name, state->last_made_up = call->made_up;
    state->numbers[COUNT]++;
    state->user = 0;
    state->numbers[TURN_AT] = NONE;
    state->numbers[HEARD] = (state->numbers[HEARD] & ((1 << EARLIER) - 1)) << EARLIER;
    return DONE;
}

/* Who began a call within a turn, as far as the log tells. */
static int went_on(const State *state)
{
    int64_t heard = state->numbers[HEARD];
    return heard & BY_COMPACTION ? COMPACTION
           : heard & BY_TOOL     ? TOOL
           : heard & BY_AGENT    ? AGENT
                                 : UNKNOWN;
}

/* What names tell of who begins the next call; a name that is not here is unknown. */
typedef struct {
    const char *name;
    unsigned char size, heard;
} Known;

#define NAME(text, heard) {text, sizeof(text) - 1, heard}

static const Known known_lines[] = {
    NAME("response_item", 0), NAME("event_msg", 0), NAME("token_usage_record", 0),
    NAME("turn_context", 0), NAME("world_state", 0), NAME("session_meta", 0),
    NAME("compacted", 0), NAME("ghost_snapshot", 0),
    /* The oldest logs have items as lines. */
    NAME("message", 0), NAME("reasoning", 0), NAME("function_call", 0),
    NAME("function_call_output", 0), NAME("local_shell_call", 0),
};

static const Known known_items[] = {
    NAME("reasoning", BY_AGENT), NAME("function_call", BY_AGENT),
    NAME("function_call_output", BY_TOOL), NAME("custom_tool_call", BY_AGENT),
    NAME("custom_tool_call_output", BY_TOOL), NAME("local_shell_call", BY_AGENT),
    NAME("local_shell_call_output", BY_TOOL), NAME("tool_search_call", BY_AGENT),
    NAME("tool_search_output", BY_TOOL), NAME("mcp_tool_call_output", BY_TOOL),
};

static const Known known_events[] = {
    NAME("token_count", 0), NAME("item_completed", 0), NAME("item_started", 0),
    NAME("agent_message", BY_AGENT), NAME("agent_reasoning", BY_AGENT),
    NAME("agent_reasoning_raw_content", BY_AGENT), NAME("agent_reasoning_section_break", BY_AGENT),
    NAME("agent_message_delta", BY_AGENT), NAME("agent_reasoning_delta", BY_AGENT),
    NAME("user_message", 0), NAME("task_started", 0), NAME("task_complete", 0),
    NAME("turn_started", 0), NAME("turn_complete", 0), NAME("turn_aborted", 0),
    NAME("turn_diff", 0), NAME("context_compacted", BY_COMPACTION),
    NAME("exec_command_begin", BY_AGENT), NAME("exec_command_output_delta", 0),
    NAME("exec_command_end", BY_TOOL), NAME("mcp_tool_call_begin", BY_AGENT),
    NAME("mcp_tool_call_end", BY_TOOL), NAME("patch_apply_begin", BY_AGENT),
    NAME("patch_apply_updated", 0), NAME("patch_apply_end", BY_TOOL),
    NAME("web_search_begin", BY_AGENT), NAME("web_search_end", BY_AGENT),
    NAME("image_generation_begin", BY_AGENT), NAME("image_generation_end", BY_AGENT),
    NAME("view_image_tool_call", BY_TOOL), NAME("dynamic_tool_call_request", BY_AGENT),
    NAME("dynamic_tool_call_response", BY_TOOL), NAME("terminal_interaction", 0),
    NAME("thread_settings_applied", 0), NAME("thread_name_updated", 0),
    NAME("thread_goal_updated", 0), NAME("thread_rolled_back", 0),
    NAME("entered_review_mode", 0), NAME("exited_review_mode", 0), NAME("error", 0),
    NAME("warning", 0), NAME("stream_error", 0), NAME("background_event", 0),
    NAME("deprecation_notice", 0), NAME("plan_update", 0), NAME("model_reroute", 0),
    NAME("session_configured", 0), NAME("mcp_startup_update", 0),
    NAME("mcp_startup_complete", 0), NAME("hook_started", 0), NAME("hook_completed", 0),
    NAME("undo_started", 0), NAME("undo_completed", 0), NAME("skill_completed", 0),
    NAME("skill_invoked", 0), NAME("skill_selected", 0), NAME("skill_started", 0),
    NAME("skill_used", 0), NAME("exec_approval_request", 0),
    NAME("apply_patch_approval_request", 0), NAME("elicitation_request", 0),
    NAME("request_user_input", 0), NAME("request_permissions", 0),
    NAME("guardian_assessment", 0), NAME("collab_agent_spawn_begin", BY_AGENT),
    NAME("collab_agent_spawn_end", BY_TOOL), NAME("collab_agent_interaction_begin", BY_AGENT),
    NAME("collab_agent_interaction_end", BY_TOOL), NAME("collab_waiting_begin", BY_AGENT),
    NAME("collab_waiting_end", BY_TOOL), NAME("collab_close_begin", BY_AGENT),
    NAME("collab_close_end", BY_TOOL), NAME("collab_resume_begin", BY_AGENT),
    NAME("collab_resume_end", BY_TOOL), NAME("shutdown_complete", 0),
};

#define KNOWN(table, name, size) known(table, sizeof(table) / sizeof *(table), name, size)

/* What is heard from a name; -1 for one that nobody knows. */
static int known(const Known *table, size_t count, Place name, ptrdiff_t size)
{
    for (size_t n = 0; n < count; n++)
        if (table[n].size == size && memcmp(table[n].name, name, (size_t)size) == 0)
            return table[n].heard;
    return -1;
}

static void hear(State *state, int heard, int64_t ms)
{
    if (heard & BY_COMPACTION && state->records) /* the call before it made that */
        heard &= ~BY_COMPACTION;
    state->numbers[HEARD] |= heard;
    if (heard & BY_TOOL && !state->records)
        state->numbers[ENDED] = ms;
}

/* ── kinds of lines ──────────────────────────────────────────────────────────────────── */

/* A response that names itself. */
static int usage_record(State *state, Place at, Place line, Place end, int64_t ms)
{
    Place from[3], none;
    ptrdiff_t size[3], skipped;
    int64_t own[FIGURES], running;
    if (!TAKE(&at, end, ",\"payload\":{\"thread_id\":\"") || !text(&at, end, &from[0], &size[0]) ||
        !size[0] || !TAKE(&at, end, ",\"turn_id\":\"") || !text(&at, end, &from[1], &size[1]) ||
        !TAKE(&at, end, ",\"session_id\":\"") || !text(&at, end, &none, &skipped) ||
        !TAKE(&at, end, ",\"root_turn_id\":\"") || !text(&at, end, &none, &skipped) ||
        !TAKE(&at, end, ",\"response_id\":\"") || !text(&at, end, &from[2], &size[2]) || !size[2] ||
        !TAKE(&at, end, ",\"usage\":") || !figures(&at, end, 1, own) ||
        !TAKE(&at, end, "},\"turn_token_usage\":{") || HAS(at, end, "{\"timestamp\""))
        return ODD; /* or another line follows where this one was torn */
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

    Text *texts = state->texts, name = nothing;
    state->records = 1;
    if (!GIVEN(texts[OWNER]) || (!state->has_meta && !GIVEN(texts[LAST_ID]))) {
        if (keep(state, &texts[OWNER], from[0], (size_t)size[0]) == FAILED)
            return FAILED;
    } else if (!same(state, texts[OWNER], from[0], (size_t)size[0]))
        return DONE; /* copied history: the call belongs to the thread it names */
    int again = same(state, texts[LAST_TURN], from[1], (size_t)size[1]);
    int64_t began = state->numbers[OUTPUT_AT];
    if (state->numbers[TURN_AT] > began)
        began = state->numbers[TURN_AT];
    if (keep(state, &texts[LAST_TURN], from[1], (size_t)size[1]) == FAILED ||
        keep(state, &name, from[2], (size_t)size[2]) == FAILED)
        return FAILED;
    Call call = {.name = name, .turn = size[1] ? texts[LAST_TURN] : nothing,
                 .initiator = again && !state->user ? went_on(state) : ASKED};
    if (call.initiator == ASKED)
        state->numbers[HEARD] |= BY_TURN;
    call.numbers[AT] = ms;
    call.numbers[DURATION] = lasted(ms, began > 0 ? began : NONE);
    call.numbers[N_RUNNING] = running;
    return add(state, &call, own, line);
}

/* A call of a client that named none: its counter moved. */
static int legacy_call(State *state, Place line, int64_t at, const int64_t own[FIGURES])
{
    char made[100];
    const int64_t *sums = state->totals;
    int size = snprintf(made, sizeof made, "_%lld_%llx_%llx_%llx_%llx",
                        (long long)state->numbers[EPOCH], (long long)sums[A], (long long)sums[B],
                        (long long)sums[C], (long long)sums[D]);
    Text name = nothing;
    if (size < 0 || size >= (int)sizeof made)
        return ODD;
    if (keep(state, &name, (Place)made, (size_t)size) == FAILED)
        return FAILED;
    Call call = {.name = name, .turn = state->texts[TURN], .made_up = 1,
                 .initiator = state->user ? ASKED : went_on(state)};
    int64_t began = state->numbers[ENDED];
    if (state->numbers[TURN_AT] > began)
        began = state->numbers[TURN_AT];
    call.numbers[AT] = at;
    call.numbers[DURATION] = lasted(at, began);
    state->numbers[ENDED] = at;
    call.numbers[N_RUNNING] = sums[RUNNING];
    return add(state, &call, own, line);
}

static int counted(State *state, Place line, int64_t at, const int64_t told[FIGURES],
                   int64_t own[FIGURES])
{
    const int64_t sums[] = {told[INPUT], told[CACHED], told[OUTPUT], told[REASONING], told[TOTAL]};
    int64_t *before = state->totals;
    state->numbers[OUTPUT_AT] = at;
    if (state->records)
        return DONE;
    if (state->totals_size == AHEAD) {
        int64_t heard = state->numbers[HEARD];
        memcpy(before, sums, sizeof sums);
        state->totals_size = SUMS, state->totals_new = 1;
        /* What was answered in this log was counted, too; else it tells where a parent stood. */
        int answered = heard & BY_AGENT && !(heard & BY_COMPACTION);
        int used = own[INPUT] || own[CACHED] || own[WRITTEN] || own[OUTPUT] || own[REASONING];
        return answered && used ? legacy_call(state, line, at, own) : DONE;
    }
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
    if (!raw || same(state, state->raw, raw, (size_t)(end - raw)))
        return DONE;
    int64_t sum = crc32_of(raw, end);
    if (sum == state->numbers[LIMITS])
        return DONE;
    Text kept = nothing;
    Limit *limit = more(&state->limits, sizeof *limit);
    if (!limit || keep(state, &kept, raw, (size_t)(end - raw)) == FAILED)
        return FAILED;
    limit->at = at, limit->raw = state->raw = kept;
    state->numbers[LIMITS] = sum;
    return DONE;
}

/* `at`: what rate limits, or null, and the end of the line there are. */
static int told_limits(Place line, Place at, Place end, Place *raw)
{
    Place near = end - line > NEAR + 16 ? line + NEAR + 16 : end;
    *raw = NULL;
    if (at < near && (HAS(at, near, "\"user_message\"") || HAS(at, near, "\"task_started\"") ||
                      HAS(at, near, "\"UserMessage\"")))
        return ODD; /* so near they may be the names of events */
    if (end - at < 4 || end[-1] != '}' || end[-2] != '}')
        return ODD;
    if (end - 2 - at == 4 && memcmp(at, "null", 4) == 0)
        return DONE;
    if (*at != '{' || end[-3] != '}' || end - 3 == at)
        return ODD;
    *raw = at;
    return DONE;
}

static int token_count(State *state, Place at, Place line, Place end, int64_t ms)
{
    int64_t told[FIGURES], own[FIGURES], window = NONE;
    Place raw = NULL;
    if (state->totals_size == -1 && !state->records)
        return ODD;
    if (TAKE(&at, end, ",\"info\":null,\"rate_limits\":")) {
        if (told_limits(line, at, end, &raw) != DONE)
            return ODD;
        state->numbers[OUTPUT_AT] = ms;
        return rate_limits(state, raw, end - 2, ms);
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
        if (told_limits(line, at, end, &raw) != DONE)
            return ODD;
    } else if (!TAKE(&at, end, "}}") || at != end)
        return ODD;
    int kept = rate_limits(state, raw, end - 2, ms);
    if (kept != DONE)
        return kept;
    if (window != NONE)
        state->numbers[WINDOW] = window;
    return counted(state, line, ms, told, own);
}

/* The first text behind a key that is not empty: DONE, ODD where it is of more than `most` bytes
 * or has escapes, FAILED where there is none. */
static int given(Place line, Place end, const char *key, int most, const char *also, Place *found,
                 size_t *length)
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
        if (quote && quote > from) {
            *found = from, *length = (size_t)(quote - from);
            return quote - from <= most && !memchr(from, '\\', *length) ? DONE : ODD;
        }
    }
    return FAILED;
}

/* Whether a line may tell of a service tier, which is for the Python. */
static int tells_tier(Place at, Place end)
{
    static const char name[] = "\"service_tier\":";
    while ((at = memmem(at, (size_t)(end - at), name, sizeof name - 1)) != NULL) {
        at += sizeof name - 1;
        TAKE(&at, end, " ");
        if (!TAKE(&at, end, "null"))
            return 1;
    }
    return 0;
}

static int turn_context(State *state, Place line, Place end, int64_t ms)
{
    static const struct {
        int which, most;
        const char *key, *also;
    } wanted[] = {{MODEL, 200, "model\":", NULL},
                  {EFFORT, 40, "effort\":", "\"reasoning_"},
                  {TURN, 200, "turn_id\":", NULL}};
    static const char settings[] = "\"collaboration_mode\":";
    Place from[3], other = memmem(line, (size_t)(end - line), settings, sizeof settings - 1);
    size_t size[3];
    int told[3];
    if (tells_tier(line, end))
        return ODD;
    if (other && !HAS(line, other, "\"model\":"))
        return ODD; /* they name a model too, and the turn's own wins */
    for (int n = 0; n < 3; n++) {
        told[n] = given(line, end, wanted[n].key, wanted[n].most, wanted[n].also, &from[n],
                        &size[n]);
        if (told[n] == ODD)
            return ODD;
    }
    for (int n = 0; n < 3; n++) {
        Text *known = &state->texts[wanted[n].which];
        if (told[n] == DONE) {
            if (keep(state, known, from[n], size[n]) == FAILED)
                return FAILED;
        } else if (wanted[n].which != MODEL)
            *known = nothing;
    }
    state->numbers[TURN_AT] = ms;
    return DONE;
}

/* The call before it made the summary; one that an earlier piece of the file held is named. */
static int compacted(State *state, Place at, Place end)
{
    if (HAS(at, end, "\"compacted\""))
        return ODD;
    if (!state->records)
        hear(state, BY_COMPACTION, NONE);
    if (!state->records || !GIVEN(state->texts[LAST_ID]))
        return DONE;
    /* The next call does what that one came before. */
    int64_t before = state->numbers[HEARD] >> EARLIER;
    state->numbers[HEARD] |= before & BY_TOOL;
    state->user |= (before & BY_TURN) != 0;
    size_t count = CALL_COUNT(state);
    if (count) {
        CALLS(state)[count - 1].initiator = COMPACTION;
        return DONE;
    }
    Text *name = more(&state->compactions, sizeof *name);
    if (!name)
        return FAILED;
    *name = state->texts[LAST_ID];
    return DONE;
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

static void note_event(State *state, int heard, int64_t ms)
{
    if (heard < 0)
        state->unknown[EVENTS]++;
    else
        hear(state, heard, ms);
}

static int event(State *state, Place at, Place line, Place end, int64_t ms)
{
    if (!TAKE(&at, end, ",\"payload\":{\"type\":\""))
        return ODD;
    Place name = at;
    if (!word(&at, end, 60) || !TAKE(&at, end, "\""))
        return ODD;
    ptrdiff_t size = at - name; /* its last quote included */
#define IS(text) (size == sizeof(text) && !memcmp(name, text "\"", sizeof(text)))
    if (IS("token_count"))
        return token_count(state, at, line, end, ms);
    if (HAS(name - 1, end, "\"token_") || (IS("thread_settings_applied") && tells_tier(at, end)))
        return ODD;
    at--; /* that quote may begin a word */
    Place near = end - line > NEAR + 16 ? line + NEAR + 16 : end;
    if (at < near && (HAS(at, near, "\"user_message\"") || HAS(at, near, "\"task_started\"")))
        return ODD;
    int heard = KNOWN(known_events, name, size - 1);
    if (!state->has_title && HAS(at, near, "\"UserMessage\"")) {
        if (IS("user_message") || IS("task_started") || users_item(line, at, end) == ODD)
            return ODD;
        note_event(state, heard, ms);
        return ITEM;
    }
    note_event(state, heard, ms);
    if (IS("user_message") && !state->records && state->numbers[TURN_AT] == NONE)
        state->numbers[ENDED] = ms; /* what follows began no earlier */
    if (!state->has_title && IS("user_message"))
        return FIRST;
    if (IS("task_started") && state->numbers[WINDOW] <= 0) /* 0 is as good as none */
        return context_window(state, at, end);
    if (IS("user_message"))
        state->user = 1;
    return DONE;
}

/* A part of an answer, or what a tool gave back. */
static int response_item(State *state, Place at, Place end, int64_t ms)
{
    if (!TAKE(&at, end, ",\"payload\":{\"type\":\""))
        return DONE;
    Place name = at;
    if (!word(&at, end, 60) || !TAKE(&at, end, "\""))
        return DONE;
    int heard = KNOWN(known_items, name, at - name - 1);
    if (heard > 0)
        hear(state, heard, ms);
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
    ptrdiff_t size = at - name;
    if (IS("response_item"))
        return response_item(state, at, end, ms);
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
    state->unknown[LINES] += KNOWN(known_lines, name, size - 1) < 0;
    return DONE;
}

