/* Calls as an SQLite database of one table, in its file format (https://sqlite.org/fileformat2.html):
 * SQLite copies rows from one table to another several times faster than Python hands them over.
 *
 * The first page has the header and the table's description, the second is the table's root (the
 * only leaf, or the page that names the leaves), then come the leaves in the order of the rows.
 */
#define PAGE 16384u
#define RECORD 16000u /* a longer row would need pages of its own; Python hands that over itself */
#define CHILDREN 1500u /* of the page above */
#define ROW_COLUMNS 25

typedef struct {
    unsigned char *data; /* two pages that are written last, and the leaves */
    size_t leaves, room;
    size_t cells, free; /* of the last page: its cells, and where their contents begin */
    int64_t row;        /* the last one's number */
    int64_t last[CHILDREN];
} Image;

/* A value: a text, in one or two parts, or a number; NONE is null. */
typedef struct {
    Place text[2];
    size_t size[2];
    int64_t number;
} Value;

static void put16(unsigned char *to, size_t value)
{
    to[0] = (unsigned char)(value >> 8), to[1] = (unsigned char)value;
}

static void put32(unsigned char *to, size_t value)
{
    put16(to, value >> 16), put16(to + 2, value);
}

static size_t varint(unsigned char *to, uint64_t value) /* of less than 2^56 */
{
    unsigned char parts[9];
    size_t size = 0;
    do
        parts[size++] = (unsigned char)(value & 0x7f);
    while (value >>= 7);
    for (size_t n = 0; n < size; n++)
        to[n] = (unsigned char)(parts[size - 1 - n] | (n + 1 < size ? 0x80 : 0));
    return size;
}

static unsigned char *leaf(const Image *image) /* the last one */
{
    return image->data + (image->leaves + 1) * PAGE;
}

static int new_leaf(Image *image)
{
    if (image->leaves >= CHILDREN)
        return FAILED;
    if (image->leaves)
        image->last[image->leaves - 1] = image->row;
    if (image->leaves + 3 > image->room) {
        size_t room = image->room ? image->room * 2 : 8;
        unsigned char *data = realloc(image->data, room * PAGE);
        if (!data)
            return FAILED;
        image->data = data, image->room = room;
    }
    image->leaves++;
    memset(leaf(image), 0, PAGE);
    leaf(image)[0] = 13;
    put16(leaf(image) + 5, PAGE);
    image->cells = 0, image->free = PAGE;
    return DONE;
}

/* A number's type in a record: 1 to 6 have the bytes of `sizes`, 8 and 9 stand for 0 and 1. */
static const unsigned char sizes[] = {0, 1, 2, 3, 4, 6, 8, 0, 0, 0};

static int type_of(int64_t number)
{
    static const int bits[] = {7, 15, 23, 31, 47};
    int kind = 0;
    if (number == 0 || number == 1)
        return 8 + (int)number;
    while (kind < 5 && (number < -(1LL << bits[kind]) || number >= 1LL << bits[kind]))
        kind++;
    return kind + 1;
}

/* A record of some values: its size, 0 where it is too long. `to` has room for RECORD bytes. */
static size_t record(unsigned char *to, const Value *values, size_t count)
{
    unsigned char types[ROW_COLUMNS * 9];
    size_t head = 0, body = 0;
    for (size_t n = 0; n < count; n++) {
        const Value *value = values + n;
        size_t size = value->size[0] + value->size[1];
        if (value->text[0]) {
            head += varint(types + head, 13 + 2 * (uint64_t)size);
            body += size;
        } else if (value->number == NONE)
            types[head++] = 0;
        else {
            types[head] = (unsigned char)type_of(value->number);
            body += sizes[types[head++]];
        }
        if (body > RECORD - ROW_COLUMNS * 9 - 2)
            return 0;
    }
    unsigned char *at = to + varint(to, head + (head + 1 < 128 ? 1 : 2));
    memcpy(at, types, head);
    at += head;
    for (size_t n = 0; n < count; n++) {
        const Value *value = values + n;
        if (value->text[0]) {
            memcpy(at, value->text[0], value->size[0]);
            at += value->size[0];
            if (value->size[1])
                memcpy(at, value->text[1], value->size[1]);
            at += value->size[1];
        } else if (value->number != NONE)
            for (int left = sizes[type_of(value->number)]; left--;)
                *at++ = (unsigned char)((uint64_t)value->number >> (left * 8));
    }
    return (size_t)(at - to);
}

static int add_row(Image *image, const Value *values)
{
    unsigned char made[RECORD], heads[18];
    size_t size = record(made, values, ROW_COLUMNS);
    if (!size)
        return FAILED;
    size_t length = varint(heads, size);
    length += varint(heads + length, (uint64_t)image->row + 1);
    if ((!image->leaves || image->free < 8 + 2 * (image->cells + 1) + length + size) &&
        new_leaf(image) == FAILED)
        return FAILED;
    image->row++;
    unsigned char *page = leaf(image);
    image->free -= length + size;
    memcpy(page + image->free, heads, length);
    memcpy(page + image->free + length, made, size);
    put16(page + 8 + 2 * image->cells++, image->free);
    put16(page + 3, image->cells);
    put16(page + 5, image->free);
    return DONE;
}

/* The second page. It is always the table's root, as a connection that is given one database
 * after another may remember where that is. */
static void add_root(Image *image)
{
    size_t free = PAGE;
    unsigned char *page = image->data + PAGE, cell[16];
    if (image->leaves == 1) {
        memcpy(page, leaf(image), PAGE);
        return;
    }
    memset(page, 0, PAGE);
    page[0] = 5;
    for (size_t n = 0; n + 1 < image->leaves; n++) {
        put32(cell, n + 3);
        size_t size = 4 + varint(cell + 4, (uint64_t)image->last[n]);
        free -= size;
        memcpy(page + free, cell, size);
        put16(page + 12 + 2 * n, free);
    }
    put16(page + 3, image->leaves - 1);
    put16(page + 5, free);
    put32(page + 8, image->leaves + 2);
}

/* The first page: the file's header, and the table's description. */
static int add_first(Image *image, Place sql, size_t length, size_t pages)
{
    static const unsigned char header[] = "SQLite format 3\0\100\0\1\1\0\100\40\40";
    unsigned char *page = image->data, made[RECORD], heads[18];
    const Value values[] = {{.text = {(Place)"table"}, .size = {5}},
                            {.text = {(Place)"row"}, .size = {3}},
                            {.text = {(Place)"row"}, .size = {3}},
                            {.number = 2},
                            {.text = {sql}, .size = {length}}};
    size_t size = length < 1500 ? record(made, values, 5) : 0;
    if (!size)
        return FAILED;
    memset(page, 0, PAGE);
    memcpy(page, header, 24);
    put32(page + 24, 1);
    put32(page + 28, pages);
    put32(page + 40, 1);
    put32(page + 44, 4);
    put32(page + 56, 1);
    put32(page + 92, 1);
    put32(page + 96, 3040001);
    size_t begin = varint(heads, size);
    begin += varint(heads + begin, 1);
    size_t free = PAGE - begin - size;
    memcpy(page + free, heads, begin);
    memcpy(page + free + begin, made, size);
    page[100] = 13;
    put16(page + 103, 1);
    put16(page + 105, free);
    put16(page + 108, free);
    return DONE;
}

/* Write the pages that are written last; returns how many there are, 0 where that fails. */
static size_t finish(Image *image, Place sql, size_t length)
{
    if (!image->leaves && new_leaf(image) == FAILED)
        return 0;
    size_t pages = image->leaves == 1 ? 2 : image->leaves + 2;
    add_root(image);
    return add_first(image, sql, length, pages) == DONE ? pages : 0;
}

/* ── a file's calls ──────────────────────────────────────────────────────────────────── */

static Value a_text(const State *state, Text text)
{
    Value value = {.number = NONE};
    if (GIVEN(text))
        value.text[0] = bytes_of(state, text), value.size[0] = text.size;
    return value;
}

static Value a_number(int64_t number)
{
    return (Value){.number = number};
}

static Value a_word(const char *word)
{
    return (Value){.text = {(Place)word}, .size = {strlen(word)}};
}

/* A row of the table `call`, of the session and the source `number`. */
static int add_call(Image *image, const Told *told, const Call *call, const Tariff *tariff,
                    const char *prefix, const char *asked, int64_t number)
{
    const State *state = &told->state;
    int by_agent = !told->session.is && strcmp(asked, "agent") == 0; /* as begin_names() */
    const char *const initiators[] = {asked, "tool", by_agent ? "agent" : "unknown", "compaction",
                                      "agent", "user"};
    Value name = a_text(state, call->name), values[ROW_COLUMNS];
    if (call->made_up) {
        name.text[1] = name.text[0], name.size[1] = name.size[0];
        name.text[0] = (Place)prefix, name.size[0] = strlen(prefix);
    }
    Value *to = values;
    *to++ = name;
    *to++ = a_word(told->session.is ? "claude" : "codex");
    *to++ = a_number(number); /* session */
    *to++ = a_text(state, call->turn);
    *to++ = a_text(state, call->model);
    *to++ = a_text(state, call->effort);
    *to++ = a_number(NONE); /* tier */
    *to++ = a_word(initiators[call->initiator]);
    for (int n = AT; n <= N_WINDOW; n++) {
        *to++ = a_number(call->numbers[n]);
        if (n == N_WRITTEN)
            *to++ = a_number(call->hour);
    }
    *to++ = a_number(call->cost);
    *to++ = a_number(call->credits);
    *to++ = a_word(tariff->status);
    *to++ = a_number(number); /* source */
    *to++ = a_number(call->numbers[N_OFFSET]);
    *to++ = a_number(NONE); /* account */
    *to++ = a_number(1);    /* seen, by a log */
    return add_row(image, values);
}
