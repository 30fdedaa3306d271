/* Whole log files, read by threads that never meet the interpreter.
 *
 * A crew has a list of files. Its threads, and whoever calls `fold_next`, take the next one, read
 * it through a buffer that stays in the processor's cache, and leave a `Told`. What asks for more
 * than the usual lines is left to the Python, from the file's beginning.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef O_CLOEXEC
#define O_CLOEXEC 0
#endif

/* When a file was changed last, in ns. */
static int64_t changed(const struct stat *said)
{
#ifdef __APPLE__
    return (int64_t)said->st_mtimespec.tv_sec * 1000000000 + said->st_mtimespec.tv_nsec;
#else
    return (int64_t)said->st_mtim.tv_sec * 1000000000 + said->st_mtim.tv_nsec;
#endif
}

#define PIECE (256u << 10)
#define LONGEST (8u << 20)   /* of a line */
#define LARGEST (1LL << 31)  /* of a file */
#define MOST_TOLD (64u << 20) /* bytes that are kept of a file, of each kind */
#define WARM (1u << 20)       /* bytes of each kind that are kept for the next file */
#define FIRST_BYTES 4096     /* of a file, and the last ones before its end: its fingerprint */
#define LAST_BYTES 1024
#define DIGEST 12 /* bytes of a fingerprint */
#define MOST_TITLES 4 /* messages of which the first that is good is the title */
#define MOST_TITLE 65536
#define REPEATED (-2) /* instead of a call's tariff: the call is another log's of Claude */

typedef struct {
    int kind; /* HEAD, FIRST or ITEM; its line is for the Python */
    Text raw;
} Special;

typedef struct {
    int whole; /* whether all of it was usual */
    int priced; /* whether every call is that is not REPEATED */
    int titles, more_titles; /* messages are left out that may give the title */
    int64_t size, changed, inode; /* of the file, before it was read */
    int64_t end, lines;
    State state;
    Heap specials;
    Session session; /* of a log of Claude */
    char fingerprint[2 * DIGEST + 1]; /* empty where no line is whole */
} Told;

/* ── fingerprints ────────────────────────────────────────────────────────────────────── */

static inline uint64_t turned(uint64_t word, int bits)
{
    return word >> bits | word << (64 - bits);
}

static inline void quarter(uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *d, uint64_t first,
                           uint64_t second)
{
    *a += *b + first, *d = turned(*d ^ *a, 32), *c += *d, *b = turned(*b ^ *c, 24);
    *a += *b + second, *d = turned(*d ^ *a, 16), *c += *d, *b = turned(*b ^ *c, 63);
}

/* A round: columns, then diagonals, with the words of the message in this order. The order is
 * written out, so that a compiler keeps the state in registers. */
#define ROUND(v, m, a, b, c, d, e, f, g, h, i, j, k, l, n, o, p, q)                               \
    do {                                                                                          \
        quarter(v, v + 4, v + 8, v + 12, m[a], m[b]);                                             \
        quarter(v + 1, v + 5, v + 9, v + 13, m[c], m[d]);                                         \
        quarter(v + 2, v + 6, v + 10, v + 14, m[e], m[f]);                                        \
        quarter(v + 3, v + 7, v + 11, v + 15, m[g], m[h]);                                        \
        quarter(v, v + 5, v + 10, v + 15, m[i], m[j]);                                            \
        quarter(v + 1, v + 6, v + 11, v + 12, m[k], m[l]);                                        \
        quarter(v + 2, v + 7, v + 8, v + 13, m[n], m[o]);                                         \
        quarter(v + 3, v + 4, v + 9, v + 14, m[p], m[q]);                                         \
    } while (0)

/* BLAKE2b's mixing of a block (RFC 7693, 3.2); `before`: bytes up to its end. */
static void mix(uint64_t state[8], Place block, uint64_t before, int is_last, const uint64_t iv[8])
{
    uint64_t v[16], m[16];
    for (int n = 0; n < 16; n++) {
        m[n] = 0;
        for (int byte = 7; byte >= 0; byte--)
            m[n] = m[n] << 8 | block[n * 8 + byte];
        v[n] = n < 8 ? state[n] : iv[n - 8];
    }
    v[12] ^= before;
    v[14] ^= is_last ? UINT64_MAX : 0;
    ROUND(v, m, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(v, m, 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    ROUND(v, m, 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
    ROUND(v, m, 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
    ROUND(v, m, 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
    ROUND(v, m, 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
    ROUND(v, m, 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
    ROUND(v, m, 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
    ROUND(v, m, 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
    ROUND(v, m, 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    ROUND(v, m, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(v, m, 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    for (int n = 0; n < 8; n++)
        state[n] ^= v[n] ^ v[n + 8];
}

/* The BLAKE2b digest of some bytes, as letters. */
static void digest(Place from, size_t size, char letters[2 * DIGEST + 1])
{
    static const uint64_t iv[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                                   0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                                   0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
    unsigned char last[128] = {0};
    uint64_t state[8], before = 0;
    memcpy(state, iv, sizeof state);
    state[0] ^= 0x01010000 ^ DIGEST;
    for (; size - before > 128; from += 128)
        before += 128, mix(state, from, before, 0, iv);
    memcpy(last, from, size - before);
    mix(state, last, size, 1, iv);
    for (int n = 0; n < DIGEST; n++) {
        unsigned byte = (unsigned)(state[n / 8] >> (n % 8 * 8) & 0xff);
        letters[2 * n] = "0123456789abcdef"[byte >> 4];
        letters[2 * n + 1] = "0123456789abcdef"[byte & 15];
    }
    letters[2 * DIGEST] = 0;
}

/* ── a file ──────────────────────────────────────────────────────────────────────────── */

typedef struct {
    unsigned char *data;
    size_t room;
    unsigned char ends[FIRST_BYTES + 1 + LAST_BYTES], last[LAST_BYTES]; /* of the file */
    size_t ends_size, last_size;
    Heap heaps[5]; /* what is found is put here first: memory that is warm */
    Index index;
} Buffer;

static Heap *heap_of(Told *told, int which)
{
    State *state = &told->state;
    Heap *const heaps[] = {&state->heap, &state->calls, &state->limits, &state->compactions,
                           &told->specials};
    return heaps[which];
}

static void begin_heaps(Told *told, Buffer *buffer)
{
    for (int n = 0; n < 5; n++) {
        Heap *heap = heap_of(told, n);
        heap->data = buffer->heaps[n].data, heap->room = buffer->heaps[n].room;
    }
}

/* Let the buffer have its memory back, and keep what was found in as much as that takes. */
static void end_heaps(Told *told, Buffer *buffer)
{
    for (int n = 0; n < 5; n++) {
        Heap *heap = heap_of(told, n), found = *heap;
        heap->data = NULL, heap->room = 0;
        if (told->whole && found.size && (heap->data = malloc(found.size)))
            memcpy(heap->data, found.data, heap->room = found.size);
        told->whole &= heap->data || !found.size;
        heap->size = heap->data ? found.size : 0;
        if (found.room > WARM) {
            free(found.data);
            found.data = NULL, found.room = 0;
        }
        buffer->heaps[n] = found;
    }
}

static void drop_buffer(Buffer *buffer)
{
    for (int n = 0; n < 5; n++)
        free(buffer->heaps[n].data);
    free(buffer->index.places);
    free(buffer->data);
}

/* Note the line from `line` to `close` and from `open` to `end`, its newline included. */
static int note(Told *told, int kind, Place line, Place close, Place open, Place end)
{
    size_t first = (size_t)(close - line), rest = (size_t)(end - open);
    Heap *heap = &told->state.heap;
    Special *special = more(&told->specials, sizeof *special);
    unsigned char *to = special ? more(heap, first + rest) : NULL;
    if (!to)
        return FAILED;
    memcpy(to, line, first);
    memcpy(to + first, open, rest);
    special->kind = kind;
    special->raw.at = (uint32_t)(heap->size - first - rest);
    special->raw.size = (uint32_t)(first + rest);
    return DONE;
}

/* A head is mostly the prompt, which nobody asks for. */
static int note_head(Told *told, Place line, Place end)
{
    static const char prompt[] = "\"base_instructions\":{\"text\":\"";
    Place close = memmem(line, (size_t)(end - line), prompt, sizeof prompt - 1);
    if (!close)
        return note(told, HEAD, line, end, end, end);
    close += sizeof prompt - 1;
    Place open = close;
    do
        open = memchr(open, '"', (size_t)(end - open));
    while (open && open[-1] == '\\' && ++open);
    return open ? note(told, HEAD, line, close, open, end) : ODD;
}

/* A session's head. Whose it is the Python reads again, and reads the file if this was wrong. */
static int head(Told *told, Place line, Place end)
{
    static const char name[] = "\"id\":\"";
    /* A fork of which only the new lines are written; its counters go on from its parent's. */
    State *state = &told->state;
    if (!state->has_meta) {
        Place place = line, from;
        ptrdiff_t size;
        if (state->numbers[COUNT] || state->records)
            return ODD;
        do {
            place = memmem(place, (size_t)(end - place), name, sizeof name - 1);
            if (!place)
                return ODD;
            place += sizeof name - 1;
        } while (place[-(ptrdiff_t)sizeof name] != '{' && place[-(ptrdiff_t)sizeof name] != ',');
        if (!text(&place, end, &from, &size) || !size)
            return ODD;
        if (keep(state, &state->texts[OWNER], from, (size_t)size) == FAILED)
            return FAILED;
        state->has_meta = 1;
        if (HAS(line, end, "\"history_base\":{"))
            state->totals_size = AHEAD;
    }
    return note_head(told, line, end);
}

/* A user's message or item: the first that is good gives the title. */
static int message(Told *told, int kind, Place line, Place end)
{
    State *state = &told->state;
    size_t size = (size_t)(end - line);
    if (kind == FIRST)
        state->user = 1;
    if (++told->titles == MOST_TITLES || size > MOST_TITLE) {
        state->has_title = told->more_titles = 1;
        end = size > MOST_TITLE ? line + MOST_TITLE : end;
    }
    return note(told, kind, line, end, end, end);
}

/* Note what may be the title of a log of Claude; its kind is how many lines were looked at. */
static int given_title(Told *told, Part text)
{
    Session *session = &told->session;
    Place from = text.from + 1, end = text.end - 1;
    session->sure = from < end && ((*from | 0x20) >= 'a' && (*from | 0x20) <= 'z');
    if (++session->given == MOST_GIVEN)
        session->sure = 1;
    session->more = session->sure;
    if (end - from > MOST_RAW)
        end = from + MOST_RAW;
    return note(told, session->asked, from, end, end, end);
}

static int fold_line(Told *told, Place line, Place next)
{
    State *state = &told->state;
    if (told->session.is) {
        Part text;
        int done = read_claude(state, &told->session, line, next, &text);
        return done == ITEM ? given_title(told, text) : done;
    }
    int done = read_line(state, line, next);
    if (done == HEAD)
        return head(told, line, next + 1);
    return done == FIRST || done == ITEM ? message(told, done, line, next + 1) : done;
}

/* Fold the whole lines of a piece; `searched` bytes at its beginning hold no end of a line. */
static int fold_piece(Told *told, Place data, size_t size, size_t searched, size_t *used)
{
    State *state = &told->state;
    Place line = data, end = data + size, from = data + searched;
    int done = DONE;
    state->data = data;
    while (done == DONE) {
        Place next = from < end ? memchr(from, '\n', (size_t)(end - from)) : NULL;
        if (!next)
            break;
        done = fold_line(told, line, next);
        line = from = next + 1;
        told->lines++;
    }
    *used = (size_t)(line - data);
    return done;
}

static void keep_last(Buffer *buffer, Place data, size_t size)
{
    size_t old = size < LAST_BYTES ? LAST_BYTES - size : 0;
    if (old > buffer->last_size)
        old = buffer->last_size;
    memmove(buffer->last, buffer->last + buffer->last_size - old, old);
    if (size > LAST_BYTES)
        data += size - LAST_BYTES, size = LAST_BYTES;
    memcpy(buffer->last + old, data, size);
    buffer->last_size = old + size;
}

static void begin_told(Told *told)
{
    State *state = &told->state;
    memset(told, 0, sizeof *told);
    for (int n = 0; n < TEXTS; n++)
        state->texts[n] = nothing;
    for (int n = 0; n < NUMBERS; n++)
        state->numbers[n] = NONE;
    state->numbers[EPOCH] = state->numbers[COUNT] = state->numbers[HEARD] = 0;
    state->raw = nothing;
    Session *session = &told->session;
    session->cwd = session->branch = session->version = nothing;
    session->written = NONE;
    for (int n = 0; n < 2; n++)
        session->lanes[n] = (Lane){UNKNOWN, UNKNOWN, NONE, NONE, nothing, nothing};
    state->heap.most = state->calls.most = state->limits.most = MOST_TOLD;
    state->compactions.most = told->specials.most = 1u << 20;
}

static void end_told(Told *told)
{
    free(told->state.heap.data);
    free(told->state.calls.data);
    free(told->state.limits.data);
    free(told->state.compactions.data);
    free(told->specials.data);
    free(told);
}

/* Make room behind what is left of a piece, which is moved to the beginning. */
static int make_room(Buffer *buffer, size_t used, size_t filled)
{
    memmove(buffer->data, buffer->data + used, filled - used);
    if (filled - used < buffer->room)
        return DONE;
    if (buffer->room >= LONGEST)
        return ODD;
    unsigned char *data = realloc(buffer->data, buffer->room * 2);
    if (!data)
        return FAILED;
    buffer->data = data, buffer->room *= 2;
    return DONE;
}

static int fold_lines(Told *told, Buffer *buffer, int file)
{
    size_t filled = 0, searched = 0, used;
    for (;;) {
        ssize_t got = read(file, buffer->data + filled, buffer->room - filled);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? ODD : DONE;
        filled += (size_t)got;
        int done = fold_piece(told, buffer->data, filled, searched, &used);
        if (done != DONE || told->end + (int64_t)used > LARGEST)
            return ODD;
        size_t first = buffer->ends_size < FIRST_BYTES ? FIRST_BYTES - buffer->ends_size : 0;
        first = first < used ? first : used;
        memcpy(buffer->ends + buffer->ends_size, buffer->data, first);
        buffer->ends_size += first;
        keep_last(buffer, buffer->data, used);
        told->end += (int64_t)used, told->state.base = told->end;
        if (make_room(buffer, used, filled) != DONE)
            return ODD;
        filled -= used, searched = filled;
    }
}

static void fold_file(Told *told, Buffer *buffer, const char *path)
{
    struct stat said;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return;
    buffer->ends_size = buffer->last_size = 0;
    if (fstat(file, &said) == 0 && S_ISREG(said.st_mode) && said.st_size <= LARGEST) {
        told->size = said.st_size, told->changed = changed(&said);
        told->inode = (int64_t)said.st_ino;
        told->whole = fold_lines(told, buffer, file) == DONE;
    }
    close(file);
    buffer->ends[buffer->ends_size++] = '|';
    memcpy(buffer->ends + buffer->ends_size, buffer->last, buffer->last_size);
    if (told->whole && told->end)
        digest(buffer->ends, buffer->ends_size + buffer->last_size, told->fingerprint);
    if (buffer->room > PIECE) { /* of a long line */
        free(buffer->data);
        buffer->data = NULL, buffer->room = 0;
    }
}

/* ── prices ──────────────────────────────────────────────────────────────────────────── */

#define RATES 5          /* of input, of what is read from the cache and written to it, of output, and
                          * of what is written for an hour */
#define MOST (1LL << 40) /* tokens, and rates below 2^20: no sum of five products overflows */
#define HIGHEST (1LL << 20)
#define QUARTER_MS 900000 /* no zone begins a day within one */

typedef struct {
    char *model, *status; /* NULL: a call without a model; its own */
    long long normal[RATES], extended[RATES], credit[RATES];
    long long longest, since, until; /* longest: the input above which a call is a long one */
} Tariff;

/* What tokens cost of which `hour` are kept so long. Rates below 0 are none. */
static int64_t price(const long long rates[RATES], const int64_t tokens[FIGURES], int64_t hour)
{
    if (rates[0] < 0)
        return NONE;
    int64_t fresh = tokens[INPUT] - tokens[CACHED] - tokens[WRITTEN];
    return (fresh * rates[0] + tokens[CACHED] * rates[1] + (tokens[WRITTEN] - hour) * rates[2] +
            tokens[OUTPUT] * rates[3] + hour * rates[4] + 500) / 1000;
}

static int in_range(const long long rates[RATES])
{
    for (int n = 0; n < RATES; n++)
        if ((rates[n] < 0) != (rates[0] < 0) || rates[n] >= HIGHEST)
            return 0;
    return 1;
}

/* Whether figures can be as they are. */
static int is_plain(const int64_t tokens[FIGURES])
{
    for (int n = 0; n <= REASONING; n++)
        if (tokens[n] < 0 || tokens[n] >= MOST)
            return 0;
    return tokens[CACHED] + tokens[WRITTEN] <= tokens[INPUT] && tokens[REASONING] <= tokens[OUTPUT];
}

/* ── a crew ──────────────────────────────────────────────────────────────────────────── */

#define MOST_THREADS 8

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t bell; /* a file is done */
    size_t count, next, done, told;
    size_t claude; /* the first file that is a log of Claude */
    char **paths;
    Told **results;
    /* Guarded by the interpreter's lock: the tariffs, and marks of the calls that were summed up. */
    Heap tariffs; /* of Tariff */
    uint64_t *marks;
    size_t marks_room, marks_size; /* the room is a power of two, 0: a free place */
    size_t *order; /* in which files were done */
    int stop, threads;
    pthread_t thread[MOST_THREADS];
    Buffer own; /* of the thread that made it */
} Crew;

static void end_tariffs(Crew *crew)
{
    Tariff *tariff = (Tariff *)(void *)crew->tariffs.data;
    for (size_t n = 0; n < crew->tariffs.size / sizeof *tariff; n++) {
        free(tariff[n].model);
        free(tariff[n].status);
    }
    free(crew->tariffs.data);
}

/* Where a mark is, or belongs. */
static size_t place_of(const Crew *crew, uint64_t mark)
{
    size_t place = (mark >> 20) & (crew->marks_room - 1);
    while (crew->marks[place] && crew->marks[place] != mark)
        place = (place + 1) & (crew->marks_room - 1);
    return place;
}

static int grow_marks(Crew *crew)
{
    size_t room = crew->marks_room ? crew->marks_room * 2 : 16384, before = crew->marks_room;
    uint64_t *old = crew->marks, *marks = calloc(room, sizeof *marks);
    if (!marks)
        return 0;
    crew->marks = marks, crew->marks_room = room;
    for (size_t n = 0; n < before; n++)
        if (old[n])
            marks[place_of(crew, old[n])] = old[n];
    free(old);
    return 1;
}

/* Remember a call of Codex by its mark; false where one of that mark is known, or for want of
 * memory. */
static int add_mark(Crew *crew, uint64_t mark)
{
    mark += !mark;
    if (crew->marks_size * 2 >= crew->marks_room && !grow_marks(crew))
        return 0;
    size_t place = place_of(crew, mark);
    if (crew->marks[place])
        return 0;
    crew->marks[place] = mark;
    crew->marks_size++;
    return 1;
}

/* Fold the next file; false when there is none. */
static int fold_next(Crew *crew, Buffer *buffer)
{
    pthread_mutex_lock(&crew->lock);
    size_t number = crew->stop ? crew->count : crew->next;
    if (number < crew->count)
        crew->next++;
    pthread_mutex_unlock(&crew->lock);
    if (number >= crew->count)
        return 0;
    Told *told = malloc(sizeof *told);
    if (!buffer->data)
        buffer->data = malloc(PIECE), buffer->room = PIECE;
    if (told) {
        begin_told(told);
        begin_heaps(told, buffer);
        told->session.is = number >= crew->claude;
        told->session.index = &buffer->index;
        begin_index(&buffer->index);
        if (buffer->data)
            fold_file(told, buffer, crew->paths[number]);
        end_heaps(told, buffer);
    }
    pthread_mutex_lock(&crew->lock);
    crew->results[number] = told;
    crew->order[crew->done++] = number;
    pthread_cond_signal(&crew->bell);
    pthread_mutex_unlock(&crew->lock);
    return 1;
}

static void *fold_all(void *given)
{
    Buffer buffer = {0};
    while (fold_next(given, &buffer))
        ;
    drop_buffer(&buffer);
    return NULL;
}

static void end_crew(Crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->stop = 1;
    pthread_mutex_unlock(&crew->lock);
    for (int n = 0; n < crew->threads; n++)
        pthread_join(crew->thread[n], NULL);
    for (size_t n = 0; n < crew->count; n++) {
        if (crew->results[n])
            end_told(crew->results[n]);
        free(crew->paths[n]);
    }
    pthread_mutex_destroy(&crew->lock);
    pthread_cond_destroy(&crew->bell);
    drop_buffer(&crew->own);
    free(crew->marks);
    end_tariffs(crew);
    free(crew->paths);
    free(crew->results);
    free(crew->order);
    free(crew);
}

/* A crew without files and threads; NULL where there is no memory. */
static Crew *new_crew(size_t count)
{
    Crew *crew = calloc(1, sizeof *crew);
    if (!crew)
        return NULL;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->bell, NULL);
    crew->paths = calloc(count + 1, sizeof *crew->paths);
    crew->results = calloc(count + 1, sizeof *crew->results);
    crew->order = calloc(count + 1, sizeof *crew->order);
    crew->tariffs.most = 1u << 20;
    if (crew->paths && crew->results && crew->order)
        return crew;
    end_crew(crew);
    return NULL;
}

static void start_crew(Crew *crew, int threads)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are for the thread that has the interpreter */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (crew->threads < threads && crew->threads < MOST_THREADS &&
           pthread_create(&crew->thread[crew->threads], NULL, fold_all, crew) == 0)
        crew->threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
