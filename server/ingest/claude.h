/* What the lines of Claude Code's logs say: `claude.py`, compiled; nothing here knows Python.
 *
 * A line that tells of an answer, or may give the title, is read as JSON, and has to be wholly
 * right; of any other it is enough that it looks like a line. Nothing here guesses: what could be
 * meant otherwise is ODD, and its file is left to the Python.
 */
#include <time.h>

#define MOST_DEPTH 64   /* objects in objects */
#define MOST_DIGITS 300 /* of a number that nobody needs */
#define MOST_NAME 200   /* bytes of an id or a model */
#define MOST_ASKED 40   /* lines that are looked at for a title; as `claude.MOST_ASKED` */
#define MOST_GIVEN 16   /* texts of which one is the title */
#define MOST_RAW 16384  /* bytes of such a text; as `claude.MOST_RAW` */

/* The values that matter: of a line, its message, that one's usage and cache_creation, and of a
 * block of text. */
enum {
    L_TYPE, L_STAMP, L_SESSION, L_CWD, L_BRANCH, L_VERSION, L_ASIDE, L_REQUEST, L_UUID, L_IS_META,
    L_SUMMARY, L_MESSAGE, L_ID, L_MODEL, L_CONTENT, L_USAGE, L_FRESH, L_READ, L_OUTPUT, L_WRITTEN, L_SPEED,
    L_CREATION, L_SHORT, L_LONG, L_TEXT, L_KIND, PARTS
};

typedef struct {
    Place from, end; /* NULL: not there */
} Part;

typedef struct {
    Part part[PARTS];
    Place end;
} Line;

#define KEY(name, inner) {name, sizeof(name) - 1, inner}

static const struct {
    const char *key;
    unsigned char size, inner; /* the first value that matters of the object it is */
} wanted_keys[PARTS] = {
    KEY("type", 0), KEY("timestamp", 0), KEY("sessionId", 0), KEY("cwd", 0), KEY("gitBranch", 0),
    KEY("version", 0), KEY("isSidechain", 0), KEY("requestId", 0), KEY("uuid", 0), KEY("isMeta", 0),
    KEY("isCompactSummary", 0),
    KEY("message", L_ID), KEY("id", 0), KEY("model", 0), KEY("content", 0), KEY("usage", L_FRESH),
    KEY("input_tokens", 0), KEY("cache_read_input_tokens", 0), KEY("output_tokens", 0),
    KEY("cache_creation_input_tokens", 0), KEY("speed", 0), KEY("cache_creation", L_SHORT),
    KEY("ephemeral_5m_input_tokens", 0), KEY("ephemeral_1h_input_tokens", 0), KEY("text", 0), KEY("type", 0),
};

/* The value behind the last of the object whose first is `first`. */
static int last_of(int first)
{
    return first == L_TYPE    ? L_ID
           : first == L_ID    ? L_FRESH
           : first == L_FRESH ? L_SHORT
           : first == L_SHORT ? L_TEXT
                              : PARTS;
}

/* ── JSON ────────────────────────────────────────────────────────────────────────────── */

/* Whether a line is text without a control character; nearly all are letters. */
WIDE static int is_clean(Place p, Place end)
{
    size_t size = (size_t)(end - p);
    unsigned char other = 0, control = 0;
    for (size_t n = 0; n < size; n++) {
        other |= p[n];
        control |= p[n] < 0x20;
    }
    return !control && (other < 0x80 || is_utf8(p, end));
}

static void skip_spaces(Place *at, Place end)
{
    while (*at < end && **at == ' ')
        ++*at;
}

/* The four digits behind \u; -1 where they are none. */
static int code_of(Place at, Place end)
{
    int code = 0;
    if (end - at < 4)
        return -1;
    for (int n = 0; n < 4; n++) {
        int c = at[n], low = c | 0x20;
        int digit = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* Step over what a backslash begins; false for half a surrogate pair too. */
static int skip_escape(Place *at, Place end)
{
    if (end - *at < 2)
        return 0;
    int letter = (*at)[1];
    if (letter != 'u') {
        *at += 2;
        return letter == '"' || letter == '\\' || letter == '/' || letter == 'b' ||
               letter == 'f' || letter == 'n' || letter == 'r' || letter == 't';
    }
    int code = code_of(*at + 2, end);
    *at += 6;
    if (code < 0xd800 || code > 0xdfff)
        return code >= 0;
    if (code > 0xdbff || !TAKE(at, end, "\\u"))
        return 0;
    code = code_of(*at, end);
    *at += 4;
    return code >= 0xdc00 && code <= 0xdfff;
}

/* Step over the rest of a text and the quote that ends it. */
static int skip_text(Place *at, Place end)
{
    Place p = *at, quote = memchr(p, '"', (size_t)(end - p));
    while (quote) {
        Place back = memchr(p, '\\', (size_t)(quote - p));
        if (!back) {
            *at = quote + 1;
            return 1;
        }
        p = back;
        if (!skip_escape(&p, end) || p > end)
            return 0;
        if (p > quote)
            quote = memchr(p, '"', (size_t)(end - p));
    }
    return 0;
}

static int skip_digits(Place *at, Place end)
{
    Place p = *at;
    while (*at < end && **at >= '0' && **at <= '9')
        ++*at;
    return *at > p;
}

static int skip_number(Place *at, Place end)
{
    Place begin = *at;
    TAKE(at, end, "-");
    if (!TAKE(at, end, "0") && !skip_digits(at, end))
        return 0;
    if (TAKE(at, end, ".") && !skip_digits(at, end))
        return 0;
    if (*at < end && (**at == 'e' || **at == 'E')) {
        ++*at;
        if (*at < end && (**at == '+' || **at == '-'))
            ++*at;
        if (!skip_digits(at, end))
            return 0;
    }
    return *at - begin <= MOST_DIGITS;
}

static int skip_object(Line *line, int first, Place *at, int depth);

/* Step over a list, its opening bracket left out. */
static int skip_list(Place *at, Line *line, int depth);

/* Step over a value. Of an object that has values that matter, `first` is the first of them. */
static int skip_value(Line *line, int first, Place *at, int depth)
{
    Place end = line->end;
    if (*at >= end || depth > MOST_DEPTH)
        return 0;
    switch (*(*at)++) {
    case '"':
        return skip_text(at, end);
    case '{':
        return skip_object(line, first, at, depth + 1);
    case '[':
        return skip_list(at, line, depth + 1);
    case 't':
        return TAKE(at, end, "rue");
    case 'f':
        return TAKE(at, end, "alse");
    case 'n':
        return TAKE(at, end, "ull");
    default:
        --*at;
        return skip_number(at, end);
    }
}

static int skip_list(Place *at, Line *line, int depth)
{
    skip_spaces(at, line->end);
    if (TAKE(at, line->end, "]"))
        return 1;
    for (;;) {
        skip_spaces(at, line->end);
        if (!skip_value(line, -1, at, depth))
            return 0;
        skip_spaces(at, line->end);
        if (TAKE(at, line->end, "]"))
            return 1;
        if (!TAKE(at, line->end, ","))
            return 0;
    }
}

/* The value that matters whose name stands from `key` to `end`; -1: none. -2: it may be one. */
static int which_of(int first, Place key, Place end)
{
    size_t size = (size_t)(end - key);
    if (first < 0)
        return -1;
    for (int n = first; n < last_of(first); n++)
        if (wanted_keys[n].size == size && memcmp(wanted_keys[n].key, key, size) == 0)
            return n;
    return memchr(key, '\\', size) ? -2 : -1;
}

/* Step over an object, its opening brace left out; the values that matter are put into `line`. */
static int skip_object(Line *line, int first, Place *at, int depth)
{
    Place end = line->end;
    skip_spaces(at, end);
    if (TAKE(at, end, "}"))
        return 1;
    for (;;) {
        skip_spaces(at, end);
        Place key = *at + 1;
        if (!TAKE(at, end, "\"") || !skip_text(at, end))
            return 0;
        int which = which_of(first, key, *at - 1);
        skip_spaces(at, end);
        if (which == -2 || (which >= 0 && line->part[which].from) || !TAKE(at, end, ":"))
            return 0; /* of two of one name the last would count */
        skip_spaces(at, end);
        Place from = *at;
        int inner = which >= 0 && wanted_keys[which].inner ? wanted_keys[which].inner : -1;
        if (!skip_value(line, inner, at, depth))
            return 0;
        if (which >= 0)
            line->part[which] = (Part){from, *at};
        skip_spaces(at, end);
        if (TAKE(at, end, "}"))
            return 1;
        if (!TAKE(at, end, ","))
            return 0;
    }
}

/* ── values ──────────────────────────────────────────────────────────────────────────── */

static int begins(Part part, int letter)
{
    return part.from && *part.from == letter;
}

/* Whether nothing is told: no such value, or null. */
static int is_none(Part part)
{
    return !part.from || *part.from == 'n';
}

static int is_word(Part part, const char *word, size_t size)
{
    return begins(part, '"') && (size_t)(part.end - part.from) == size + 2 &&
           memcmp(part.from + 1, word, size) == 0;
}

#define IS_WORD(part, word) is_word(part, word, sizeof(word) - 1)

/* What is true or false; -1 for what is neither. */
static int is_true(Part part)
{
    return is_none(part) || *part.from == 'f' ? 0 : *part.from == 't' ? 1 : -1;
}

/* A text of an id, empty where it is none; false for one that only decoding tells. */
static int plain_name(Part part, Part *name)
{
    *name = (Part){NULL, NULL};
    if (!begins(part, '"'))
        return 1;
    *name = (Part){part.from + 1, part.end - 1};
    size_t size = (size_t)(name->end - name->from);
    return size <= MOST_NAME && !memchr(name->from, '\\', size);
}

/* A count, 0 where none is told; `told` says whether it is. */
static int plain_count(Part part, int64_t *value, int *told)
{
    Place at = part.from;
    *value = 0;
    if (is_none(part))
        return 1;
    *told = 1;
    return number(&at, part.end, 15, value) && at == part.end;
}

/* 2026-01-02T03:04:05.678Z */
static int plain_stamp(Part part, int64_t *ms)
{
    static const char after[] = "--T::.";
    static const int sizes[] = {4, 2, 2, 2, 2, 2, 3};
    int64_t value[7];
    if (!begins(part, '"'))
        return 0;
    Place at = part.from + 1;
    for (int n = 0; n < 7; n++)
        if (!digits(&at, part.end, sizes[n], &value[n]) || (n < 6 && !take(&at, part.end, after + n, 1)))
            return 0;
    if (value[5] > 59 || !TAKE(&at, part.end, "Z\"") || at != part.end || !minute_ms(value, ms))
        return 0;
    *ms += value[5] * 1000 + value[6];
    return 1;
}

/* Whether a log can be of that time; one that cannot gives way to one that can: `claude._larger`. */
static int is_possible(int64_t ms)
{
    return ms >= 1577836800000 && ms < ((int64_t)time(NULL) + 86400) * 1000;
}

/* ── a file's calls by their names ───────────────────────────────────────────────────── */

typedef struct {
    uint32_t *places; /* of calls, from 1 on */
    size_t room, count; /* the room is a power of two */
} Index;

static int grow_index(Index *index, const State *state)
{
    size_t room = index->room ? index->room * 2 : 1024;
    uint32_t *places = calloc(room, sizeof *places);
    if (!places)
        return FAILED;
    for (size_t n = 0; n < index->count; n++) {
        size_t at = CALLS(state)[n].mark & (room - 1);
        while (places[at])
            at = (at + 1) & (room - 1);
        places[at] = (uint32_t)n + 1;
    }
    free(index->places);
    index->places = places, index->room = room;
    return DONE;
}

/* The call of a name, NULL where there is none yet; `place` is where it belongs. */
static Call *call_named(const Index *index, const State *state, Part name, uint64_t mark,
                        size_t *place)
{
    size_t at = mark & (index->room - 1);
    for (; index->places[at]; at = (at + 1) & (index->room - 1)) {
        Call *call = CALLS(state) + index->places[at] - 1;
        if (call->mark == mark &&
            same(state, call->name, name.from, (size_t)(name.end - name.from)))
            return call;
    }
    *place = at;
    return NULL;
}

static void begin_index(Index *index)
{
    if (index->count)
        memset(index->places, 0, index->room * sizeof *index->places);
    index->count = 0;
}

/* ── kinds of lines ──────────────────────────────────────────────────────────────────── */

/* What was told last of the session itself, or of a side conversation: who begins the next call
 * and since when, and the same of the last response, whose lines may go on; of its message and
 * request. */
typedef struct {
    int by, last_by;
    int64_t since, last_since;
    Text last, request;
} Lane;

/* What the crew finds in a log of Claude, beside its calls. */
typedef struct {
    Lane lanes[2];
    int is, described, asked, given, sure, more; /* asked: lines that were looked at for a title */
    Text cwd, branch, version; /* JSON, without quotes */
    int64_t written;
    Index *index;
} Session;

/* Keep what is inside a text's quotes. */
static int keep_raw(State *state, Text *kept, Part part)
{
    return begins(part, '"') ? keep(state, kept, part.from + 1, (size_t)(part.end - part.from - 2))
                             : DONE;
}

static int describe(State *state, Session *session, const Line *line)
{
    const Part *part = line->part;
    if (session->described || !begins(part[L_SESSION], '"'))
        return DONE;
    session->described = 1;
    if (!is_none(part[L_STAMP]) && !plain_stamp(part[L_STAMP], &session->written))
        return ODD;
    int done = keep_raw(state, &session->cwd, part[L_CWD]);
    if (done == DONE)
        done = keep_raw(state, &session->branch, part[L_BRANCH]);
    return done == DONE ? keep_raw(state, &session->version, part[L_VERSION]) : done;
}

/* The text of the first block of a message; false where a block is not as it should be. */
static int first_block(Part content, Part *found, Part *kind)
{
    Line block = {.end = content.end};
    Place at = content.from + 1;
    found->from = kind->from = NULL;
    for (;;) {
        skip_spaces(&at, content.end);
        if (at >= content.end || *at == ']')
            return 1;
        int is_object = *at == '{';
        if (!skip_value(&block, is_object ? L_TEXT : -1, &at, 0))
            return 0;
        if (is_object) {
            *found = block.part[L_TEXT], *kind = block.part[L_KIND];
            return 1;
        }
        skip_spaces(&at, content.end);
        TAKE(&at, content.end, ",");
    }
}

/* What a person may have said: DONE where it is no title, ITEM where `*text` may be one. */
static int said(const Line *line, Part *text)
{
    const Part *part = line->part;
    Part kind;
    if (!IS_WORD(part[L_TYPE], "user"))
        return DONE;
    int meta = is_true(part[L_IS_META]);
    if (meta)
        return meta < 0 ? ODD : DONE;
    *text = part[L_CONTENT];
    if (begins(*text, '[') && !first_block(part[L_CONTENT], text, &kind))
        return ODD;
    return begins(*text, '"') ? ITEM : DONE;
}

/* A user's line begins the next call: a person's words, what a tool gave back, or a summary. */
static int asks(Session *session, const Line *line)
{
    const Part *part = line->part;
    Part text, kind = {NULL, NULL};
    int64_t ms = NONE;
    int meta = is_true(part[L_IS_META]), aside = is_true(part[L_ASIDE]);
    int summary = is_true(part[L_SUMMARY]);
    if (meta < 0 || aside < 0 || summary < 0)
        return ODD;
    int is_list = begins(part[L_CONTENT], '[');
    if (meta || !begins(part[L_MESSAGE], '{') || (!is_list && !begins(part[L_CONTENT], '"')))
        return DONE;
    if (!is_none(part[L_STAMP]) && !plain_stamp(part[L_STAMP], &ms))
        return ODD;
    if (is_list && !first_block(part[L_CONTENT], &text, &kind))
        return ODD;
    if (kind.from && *kind.from == '"' && memchr(kind.from, '\\', (size_t)(kind.end - kind.from)))
        return ODD;
    Lane *lane = &session->lanes[aside];
    lane->by = summary ? COMPACTION : IS_WORD(kind, "tool_result") ? TOOL : USER;
    lane->since = ms;
    return DONE;
}

/* The figures of an answer, and what is kept for an hour of what was written. */
static int counts(const Part part[PARTS], int64_t own[FIGURES], int64_t *hour)
{
    int64_t fresh, brief, lasting;
    int any = 0, parts = 0;
    if (!plain_count(part[L_FRESH], &fresh, &any) || !plain_count(part[L_READ], &own[CACHED], &any) ||
        !plain_count(part[L_OUTPUT], &own[OUTPUT], &any) ||
        !plain_count(part[L_WRITTEN], &own[WRITTEN], &any) ||
        !plain_count(part[L_SHORT], &brief, &parts) || !plain_count(part[L_LONG], &lasting, &parts) ||
        !(is_none(part[L_CREATION]) || begins(part[L_CREATION], '{')))
        return ODD;
    if (!is_none(part[L_SPEED]) && !IS_WORD(part[L_SPEED], "standard"))
        return ODD; /* it has a price of its own */
    *hour = parts ? lasting : 0;
    if (parts)
        own[WRITTEN] = brief + lasting;
    own[INPUT] = fresh + own[CACHED] + own[WRITTEN];
    own[REASONING] = 0;
    return DONE;
}

/* The same response again: the larger figures count, as `claude._larger` says. */
static void grow_call(Call *before, const Call *again, const int64_t own[FIGURES])
{
    if (again->numbers[AT] > before->numbers[AT]) {
        int64_t known = before->numbers[DURATION], began = before->numbers[AT] - known;
        before->numbers[AT] = again->numbers[AT];
        before->numbers[DURATION] = known == NONE ? NONE : lasted(again->numbers[AT], began);
    }
    int64_t *numbers = before->numbers;
    int64_t fresh = numbers[N_INPUT] - numbers[N_CACHED] - numbers[N_WRITTEN];
    if (own[INPUT] - own[CACHED] - own[WRITTEN] > fresh)
        fresh = own[INPUT] - own[CACHED] - own[WRITTEN];
    for (int n = 0; n <= REASONING; n++)
        if (own[n] > numbers[N_INPUT + n])
            numbers[N_INPUT + n] = own[n];
    numbers[N_INPUT] = fresh + numbers[N_CACHED] + numbers[N_WRITTEN];
    if (again->hour > before->hour)
        before->hour = again->hour;
}

static int keep_part(State *state, Text *kept, Part part)
{
    return part.from && part.end > part.from
               ? keep(state, kept, part.from, (size_t)(part.end - part.from))
               : DONE;
}

static int is_request(const State *state, const Call *call, Part request)
{
    size_t size = (size_t)(request.end - request.from);
    return size ? same(state, call->turn, request.from, size) : !GIVEN(call->turn);
}

/* Add an answer, or what it adds to one of its name. */
static int add_answer(State *state, Session *session, Part name, Part request, Part model,
                      const Call *made, const int64_t own[FIGURES])
{
    Call call = *made;
    Index *index = session->index;
    size_t place, count = CALL_COUNT(state);
    if (index->count * 2 >= index->room && grow_index(index, state) == FAILED)
        return FAILED;
    call.mark = marked(0, name.from, (size_t)(name.end - name.from));
    Call *before = call_named(index, state, name, call.mark, &place);
    int64_t from = call.numbers[N_OFFSET];
    /* The model of the call before is mostly this one's, too. */
    call.model = count ? CALLS(state)[count - 1].model : nothing;
    if (!(model.from && model.end > model.from))
        call.model = nothing;
    if (keep_part(state, &call.model, model) == FAILED ||
        (!before && keep_part(state, &call.turn, request) == FAILED))
        return FAILED;
    /* Another request is another response, and of one without any Python knows whose it is. */
    if (before && ((before->initiator == ASKED) != (call.initiator == ASKED) ||
                   (call.initiator != ASKED && !is_request(state, before, request))))
        return ODD;
    if (before) {
        grow_call(before, &call, own);
        return DONE;
    }
    if (keep_part(state, &call.name, name) == FAILED)
        return FAILED;
    for (int n = 0; n <= REASONING; n++)
        call.numbers[N_INPUT + n] = own[n];
    call.numbers[N_OFFSET] = from;
    Call *row = more(&state->calls, sizeof *row);
    if (!row)
        return FAILED;
    *row = call;
    index->places[place] = (uint32_t)++index->count;
    return DONE;
}

static int answer(State *state, Session *session, const Line *line, Place begin)
{
    const Part *part = line->part;
    Part name, request, model;
    int64_t own[FIGURES], ms, hour;
    if (!begins(part[L_MESSAGE], '{') || !begins(part[L_USAGE], '{'))
        return DONE;
    if (!plain_name(part[L_MODEL], &model))
        return ODD;
    if (IS_WORD(part[L_MODEL], "<synthetic>"))
        return DONE; /* a notice of the client's own */
    int aside = is_true(part[L_ASIDE]);
    if (aside < 0 || !plain_stamp(part[L_STAMP], &ms) || !is_possible(ms) || !plain_name(part[L_REQUEST], &request) ||
        !plain_name(part[L_ID], &name))
        return ODD;
    if (name.from == name.end)
        name = request;
    if (name.from == name.end && !plain_name(part[L_UUID], &name))
        return ODD;
    /* A made-up name of ours begins so. */
    if (name.from == name.end || (name.end - name.from >= 4 && !memcmp(name.from, "log_", 4)))
        return ODD;
    if (counts(part, own, &hour) != DONE)
        return ODD;
    Call call = {.name = nothing, .turn = nothing, .model = nothing, .effort = nothing,
                 .initiator = aside ? ASKED : UNKNOWN, .tariff = -1, .hour = hour};
    Lane *lane = &session->lanes[aside];
    if (!same(state, lane->last, name.from, (size_t)(name.end - name.from))) {
        lane->last_by = lane->by, lane->last_since = lane->since;
        lane->request = nothing;
        if (keep_part(state, &lane->last, name) == FAILED ||
            (!aside && keep_part(state, &lane->request, request) == FAILED))
            return FAILED;
    }
    if (!aside)
        call.initiator = lane->last_by;
    lane->by = UNKNOWN, lane->since = ms;
    call.numbers[AT] = ms;
    call.numbers[DURATION] = lasted(ms, lane->last_since);
    call.numbers[N_RUNNING] = call.numbers[N_WINDOW] = NONE;
    call.numbers[N_OFFSET] = state->base + (begin - state->data);
    return add_answer(state, session, name, request, model, &call, own);
}

/* Whether a word stands in a line with no backslash before it. */
static int stands(Place from, Place end, const char *word, size_t size)
{
    Place place = from;
    while ((place = memmem(place, (size_t)(end - place), word, size)) != NULL) {
        if (place[-1] != '\\') /* no line begins with one */
            return 1;
        place++;
    }
    return 0;
}

/* One line, its newline left out. ITEM: `*text` may be the title. */
static int read_claude(State *state, Session *session, Place begin, Place end, Part *text)
{
    static const char person[] = "\"user\"", model[] = "\"assistant\"";
    if (end - begin < 3 || begin[0] != '{' || begin[1] != '"' || end[-1] != '}' ||
        !is_clean(begin, end))
        return ODD;
    int persons = stands(begin, end, person, sizeof person - 1);
    int looks = persons && !session->sure && session->asked < MOST_ASKED;
    session->asked += looks;
    if (!persons && !stands(begin, end, model, sizeof model - 1))
        return DONE;
    Line line = {.end = end};
    Place at = begin + 1;
    if (!skip_object(&line, L_TYPE, &at, 0) || at != end)
        return ODD;
    if (line.part[L_TYPE].from &&
        (!begins(line.part[L_TYPE], '"') ||
         memchr(line.part[L_TYPE].from, '\\', (size_t)(line.part[L_TYPE].end - line.part[L_TYPE].from))))
        return ODD;
    int done = describe(state, session, &line);
    if (done != DONE)
        return done;
    if (IS_WORD(line.part[L_TYPE], "assistant"))
        return answer(state, session, &line, begin);
    if (IS_WORD(line.part[L_TYPE], "user") && asks(session, &line) != DONE)
        return ODD;
    return looks ? said(&line, text) : DONE;
}
