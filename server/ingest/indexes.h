/* Indexes of a table in an SQLite database (https://sqlite.org/fileformat2.html), made of its
 * rows as they lie in the file and written behind its last page: each sorted in a thread of its
 * own, and without SQLite's record by record. Whatever is not as a ledger's calls are is refused
 * before anything is written.
 *
 * Pages of an index are filled one after another. The entry that no longer fits stands between
 * two pages, and so in the page above them; those entries fill the pages of the level above in
 * the same way, until all fit on one page, the root.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_INDEXES 8
#define READERS 2
#define MOST_KEYS 2    /* columns of an index that has entries */
#define MOST_FIELDS 64 /* columns of a table */
#define LEVELS 8
#define MOST_BYTES (64 << 20) /* of the file; twice as many are needed to do it in memory */
#define REFUSED ODD

/* A value as it lies in a row, and its type there: a text, a whole number or null. */
typedef struct {
    Place from;
    uint64_t type;
} Field;

typedef struct {
    uint64_t first, second; /* what sorts the entries: all of the numbers, a text's beginning */
    uint32_t row, cell;     /* where its cell is among those of the index */
} Entry;

typedef struct {
    int columns[MOST_KEYS], keys, unique;
    int without, left_out; /* rows with this number in that column have no entry; -1: all have */
    const struct Table *table;
    size_t count;
    Entry *entries;
    Heap cells;                 /* of the entries, in the order of the rows */
    uint32_t *cuts[LEVELS];     /* of the items of a level those that stand between pages, which */
    uint32_t items[LEVELS + 1]; /* are the items of the level above; the entries are those of */
    size_t pages[LEVELS];       /* the lowest. The number of a level's first page */
    int levels, state;
    unsigned char *image; /* where its pages go, and the number of the first page there */
    size_t first;
} Btree;

typedef struct Table {
    unsigned char *file;
    size_t size, page;
    int8_t wanted[MOST_FIELDS]; /* the place of a column among a row's fields; -1: not needed */
    int last, width;            /* the last column needed, and how many fields a row has */
    Heap leaves;                /* the numbers of the pages that have the rows, */
    size_t count;               /* which are so many */
    Field *fields;              /* of all rows */
    int64_t *numbers;           /* and the rows' numbers */
    int texts;                  /* which of the fields are texts */
} Table;

/* What one thread reads: some leaves and their rows. */
typedef struct {
    Table *table;
    size_t first, end, row;
    unsigned char kinds[MOST_FIELDS]; /* what the fields are: 1, texts; 2, numbers or null */
    int state;
} Reader;

static size_t get16(Place from)
{
    return (size_t)from[0] << 8 | from[1];
}

static size_t get32(Place from)
{
    return get16(from) << 16 | get16(from + 2);
}

static int read_varint(Place *at, Place end, uint64_t *value) /* of less than 2^56 */
{
    *value = 0;
    for (int n = 0; n < 8 && *at < end; n++) {
        unsigned char byte = *(*at)++;
        *value = *value << 7 | (byte & 0x7f);
        if (byte < 0x80)
            return DONE;
    }
    return FAILED;
}

/* Do a thing for each of some items, each in a thread of its own. */
static void each_apart(void *(*act)(void *), void *items, size_t size, size_t count)
{
    pthread_t threads[MOST_INDEXES];
    int begun[MOST_INDEXES] = {0};
    char *item = items;
    for (size_t n = 1; n < count; n++)
        begun[n] = pthread_create(threads + n, NULL, act, item + n * size) == 0;
    for (size_t n = 0; n < count; n++)
        if (!begun[n])
            act(item + n * size);
    for (size_t n = 1; n < count; n++)
        if (begun[n])
            pthread_join(threads[n], NULL);
}

/* ── the table's rows ────────────────────────────────────────────────────────────────── */

#define IS_TEXT(type) ((type) >= 13 && (type) & 1)

static size_t size_of(uint64_t type)
{
    static const unsigned char known[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0};
    return type < 12 ? known[type] : (size_t)(type - 12) / 2;
}

static int64_t number_of(const Field *field)
{
    if (!field->type || field->type > 6)
        return field->type ? (int64_t)field->type - 8 : NONE;
    uint64_t value = field->from[0] & 0x80 ? UINT64_MAX : 0;
    for (size_t n = 0; n < size_of(field->type); n++)
        value = value << 8 | field->from[n];
    return (int64_t)value;
}

/* Other values than texts and whole numbers are refused, and one so small that it is like NONE. */
static int keep_field(Reader *reader, int place, Field field)
{
    const Table *table = reader->table;
    if (!IS_TEXT(field.type) &&
        (field.type == 7 || field.type > 9 || (field.type == 6 && field.from[0] == 0x80)))
        return REFUSED;
    reader->kinds[place] |= IS_TEXT(field.type) ? 1 : 2;
    table->fields[reader->row * (size_t)table->width + (size_t)place] = field;
    return DONE;
}

static int read_row(Reader *reader, Place at, Place end)
{
    const Table *table = reader->table;
    uint64_t head, type;
    Place begin = at;
    if (read_varint(&at, end, &head) == FAILED || head > (size_t)(end - begin))
        return REFUSED;
    Place heads = begin + head, body = heads;
    for (int column = 0; column <= table->last; column++) {
        if (at < heads && *at < 0x80)
            type = *at++;
        else if (read_varint(&at, heads, &type) == FAILED)
            return REFUSED;
        size_t size = size_of(type);
        if (size > (size_t)(end - body))
            return REFUSED;
        int place = table->wanted[column];
        if (place >= 0 && keep_field(reader, place, (Field){body, type}) != DONE)
            return REFUSED;
        body += size;
    }
    return DONE;
}

static int read_leaf(Reader *reader, Place page)
{
    const Table *table = reader->table;
    size_t cells = get16(page + 3);
    for (size_t n = 0; n < cells; n++, reader->row++) {
        Place at = page + get16(page + 8 + 2 * n), end = page + table->page;
        uint64_t size, number;
        if (at >= end || read_varint(&at, end, &size) == FAILED ||
            read_varint(&at, end, &number) == FAILED || size > table->page - 35 ||
            size > (size_t)(end - at) || read_row(reader, at, at + size) != DONE)
            return REFUSED;
        table->numbers[reader->row] = (int64_t)number;
    }
    return DONE;
}

static Place page_at(const Table *table, size_t number)
{
    return table->file + (number - 1) * table->page;
}

static void *read_leaves(void *given)
{
    Reader *reader = given;
    const uint32_t *leaves = (const uint32_t *)(const void *)reader->table->leaves.data;
    reader->state = DONE;
    for (size_t n = reader->first; n < reader->end && reader->state == DONE; n++)
        reader->state = read_leaf(reader, page_at(reader->table, leaves[n]));
    return NULL;
}

/* Find the leaves below a page. */
static int find_leaves(Table *table, size_t number, int deep)
{
    if (number < 2 || number > table->size / table->page || deep > LEVELS)
        return REFUSED;
    Place page = page_at(table, number);
    size_t cells = get16(page + 3), head = page[0] == 13 ? 8 : 12;
    if ((page[0] != 13 && page[0] != 5) || head + 2 * cells > table->page)
        return REFUSED;
    if (page[0] == 13) {
        uint32_t *leaf = more(&table->leaves, sizeof *leaf);
        if (leaf)
            *leaf = (uint32_t)number, table->count += cells;
        return leaf ? DONE : REFUSED;
    }
    for (size_t n = 0; n <= cells; n++) {
        size_t at = n < cells ? get16(page + 12 + 2 * n) : 8;
        if (at + 4 > table->page || find_leaves(table, get32(page + at), deep + 1) != DONE)
            return REFUSED;
    }
    return DONE;
}

/* Read the rows of a table, a part of its leaves in each thread. */
static int read_table(Table *table, size_t root)
{
    if (find_leaves(table, root, 0) != DONE || table->count > MOST_BYTES / sizeof(Field))
        return REFUSED;
    const uint32_t *leaves = (const uint32_t *)(const void *)table->leaves.data;
    size_t count = table->leaves.size / sizeof *leaves, row = 0, at = 0;
    Reader readers[READERS] = {0};
    table->fields = malloc((table->count * (size_t)table->width + 1) * sizeof(Field));
    table->numbers = malloc((table->count + 1) * sizeof(int64_t));
    if (!table->fields || !table->numbers)
        return REFUSED;
    for (size_t n = 0; n < READERS; n++) {
        readers[n] = (Reader){.table = table, .first = at, .end = count * (n + 1) / READERS};
        readers[n].row = row;
        for (; at < readers[n].end; at++)
            row += get16(page_at(table, leaves[at]) + 3);
    }
    each_apart(read_leaves, readers, sizeof *readers, READERS);
    for (int place = 0; place < table->width; place++) {
        int kinds = 0;
        for (size_t n = 0; n < READERS; n++)
            kinds |= readers[n].kinds[place];
        if (kinds == 3)
            return REFUSED; /* none has both */
        table->texts |= (kinds & 1) << place;
    }
    for (size_t n = 0; n < READERS; n++)
        if (readers[n].state != DONE)
            return REFUSED;
    return DONE;
}

/* ── the entries of an index ─────────────────────────────────────────────────────────── */

static const Field *fields_of(const Table *table, uint32_t row)
{
    return table->fields + (size_t)row * (size_t)table->width;
}

static uint64_t beginning(const Field *field, size_t from)
{
    uint64_t found = 0;
    for (size_t n = from; n < from + 8; n++)
        found = found << 8 | (n < size_of(field->type) ? field->from[n] : 0);
    return found;
}

/* Note the row's place in the order of the index. */
static void set_order(const Btree *index, const Field *fields, Entry *entry)
{
    const Field *one = fields + index->columns[0];
    if (IS_TEXT(one->type)) {
        entry->first = beginning(one, 0), entry->second = beginning(one, 8);
        return;
    }
    int64_t second = index->keys > 1 ? number_of(fields + index->columns[1]) : 0;
    entry->first = (uint64_t)number_of(one) ^ 1ull << 63;
    entry->second = (uint64_t)second ^ 1ull << 63;
}

/* Add the row's cell, as it stands on the lowest pages: its fields as they lie, and its number. */
static int add_cell(Btree *index, const Field *fields, Entry *entry)
{
    int64_t row = index->table->numbers[entry->row];
    unsigned char heads[9 * (MOST_KEYS + 1)], size[9];
    size_t head = 0, body = 0, most = (index->table->page - 12) * 64 / 255 - 23;
    for (int n = 0; n < index->keys; n++) {
        const Field *field = fields + index->columns[n];
        head += varint(heads + head, field->type);
        body += size_of(field->type);
        if (body > most) /* the rest of it would lie elsewhere */
            return REFUSED;
    }
    heads[head] = (unsigned char)type_of(row);
    size_t last = size_of(heads[head++]), whole = 1 + head + body + last;
    size_t begin = varint(size, whole);
    unsigned char *to = whole <= most ? more(&index->cells, begin + whole) : NULL;
    if (!to)
        return REFUSED;
    entry->cell = (uint32_t)(to - index->cells.data);
    memcpy(to, size, begin), to += begin;
    *to++ = (unsigned char)(head + 1);
    memcpy(to, heads, head), to += head;
    for (int n = 0; n < index->keys; n++) {
        const Field *field = fields + index->columns[n];
        memcpy(to, field->from, size_of(field->type)), to += size_of(field->type);
    }
    while (last--)
        *to++ = (unsigned char)((uint64_t)row >> (last * 8));
    return DONE;
}

static size_t cell_of(const Btree *index, size_t entry, Place *at)
{
    Place begin = index->cells.data + index->entries[entry].cell, end = begin;
    uint64_t size = 0;
    read_varint(&end, begin + 9, &size);
    *at = begin;
    return (size_t)(end - begin) + (size_t)size;
}

static int pick_entries(Btree *index)
{
    const Table *table = index->table;
    index->entries = malloc((table->count + 1) * sizeof(Entry));
    index->cells.most = MOST_BYTES;
    if (!index->entries)
        return REFUSED;
    for (uint32_t row = 0; row < table->count; row++) {
        const Field *fields = fields_of(table, row);
        if (index->without >= 0 && number_of(fields + index->without) == index->left_out)
            continue;
        if (index->keys > MOST_KEYS)
            return REFUSED;
        Entry *entry = index->entries + index->count++;
        entry->row = row;
        set_order(index, fields, entry);
        if (add_cell(index, fields, entry) != DONE)
            return REFUSED;
    }
    int texts = 0; /* the beginnings of one are all that an entry has room for */
    for (int n = 0; index->count && n < index->keys; n++)
        texts += table->texts >> index->columns[n] & 1;
    return texts && index->keys > 1 ? REFUSED : DONE;
}

/* Less than, like or greater than 0, as the texts are whose beginnings are alike. */
static int order_of_texts(const Btree *index, uint32_t one, uint32_t other)
{
    const Field *a = fields_of(index->table, one) + index->columns[0];
    const Field *b = fields_of(index->table, other) + index->columns[0];
    size_t size = size_of(a->type), others = size_of(b->type);
    if (!IS_TEXT(a->type))
        return 0;
    int found = memcmp(a->from, b->from, size < others ? size : others);
    return found ? found : (size > others) - (size < others);
}

static int order_of(const Btree *index, const Entry *one, const Entry *other)
{
    if (one->first != other->first)
        return one->first < other->first ? -1 : 1;
    if (one->second != other->second)
        return one->second < other->second ? -1 : 1;
    return order_of_texts(index, one->row, other->row);
}

/* Sort entries; those that are alike keep their order, which is that of the rows. */
static void sort(const Btree *index, Entry *entries, Entry *spare, size_t count)
{
    if (count < 2)
        return;
    size_t half = count / 2, left = 0, right = half, to = 0;
    sort(index, entries, spare, half);
    sort(index, entries + half, spare, count - half);
    if (order_of(index, entries + half - 1, entries + half) <= 0)
        return;
    memcpy(spare, entries, half * sizeof *entries);
    while (left < half && right < count)
        entries[to++] = order_of(index, spare + left, entries + right) <= 0 ? spare[left++]
                                                                            : entries[right++];
    memcpy(entries + to, spare + left, (half - left) * sizeof *entries);
}

static int has_doubles(const Btree *index)
{
    for (size_t n = 1; n < index->count; n++)
        if (order_of(index, index->entries + n - 1, index->entries + n) == 0)
            return 1;
    return 0;
}

/* ── its pages ───────────────────────────────────────────────────────────────────────── */

/* The entry that an item of a level is. */
static size_t entry_at(const Btree *index, int level, size_t item)
{
    while (level--)
        item = index->cuts[level][item];
    return item;
}

/* Share the items of a level among pages. */
static int cut(Btree *index, int level)
{
    size_t room = index->table->page - (level ? 12 : 8), left = room;
    uint32_t count = index->items[level], found = 0;
    uint32_t *cuts = malloc((count + 1) * sizeof *cuts);
    index->cuts[level] = cuts, index->levels = level + 1;
    if (!cuts)
        return REFUSED;
    for (uint32_t n = 0; n < count; n++) {
        Place at;
        size_t need = cell_of(index, entry_at(index, level, n), &at) + (level ? 6 : 2);
        if (need > left)
            cuts[found++] = n, left = room;
        else
            left -= need;
    }
    if (found && cuts[found - 1] == count - 1) /* the last page may not be empty */
        cuts[found - 1]--;
    index->items[level + 1] = found;
    return DONE;
}

/* All that is to be known before its pages have numbers. */
static void *plan(void *given)
{
    Btree *index = given;
    index->state = REFUSED;
    if (pick_entries(index) != DONE)
        return NULL;
    Entry *spare = malloc((index->count / 2 + 1) * sizeof *spare);
    index->items[0] = (uint32_t)index->count;
    if (spare)
        sort(index, index->entries, spare, index->count);
    free(spare);
    if (!spare || (index->unique && has_doubles(index)))
        return NULL;
    for (int level = 0; level == 0 || index->items[level]; level++)
        if (level == LEVELS || cut(index, level) != DONE)
            return NULL;
    index->state = DONE;
    return NULL;
}

/* Give the pages numbers: the root `root`, the others from `*next` on. */
static void give_numbers(Btree *index, size_t root, size_t *next)
{
    for (int level = 0; level + 1 < index->levels; level++) {
        index->pages[level] = *next;
        *next += index->items[level + 1] + 1;
    }
    index->pages[index->levels - 1] = root;
}

static void write_page(const Btree *index, int level, uint32_t number, unsigned char *page)
{
    const uint32_t *cuts = index->cuts[level];
    uint32_t from = number ? cuts[number - 1] + 1 : 0;
    uint32_t to = number < index->items[level + 1] ? cuts[number] : index->items[level];
    size_t free = index->table->page, head = level ? 12 : 8;
    for (uint32_t n = from; n < to; n++) {
        Place cell;
        size_t size = cell_of(index, entry_at(index, level, n), &cell);
        free -= size;
        memcpy(page + free, cell, size);
        if (level) {
            free -= 4;
            put32(page + free, index->pages[level - 1] + n);
        }
        put16(page + head + 2 * (n - from), free);
    }
    page[0] = level ? 2 : 10;
    put16(page + 3, to - from);
    put16(page + 5, free);
    if (level)
        put32(page + 8, index->pages[level - 1] + to);
}

static void *write_index(void *given)
{
    const Btree *index = given;
    for (int level = 0; level < index->levels; level++)
        for (uint32_t n = 0; n <= index->items[level + 1]; n++) {
            size_t place = index->pages[level] + n - index->first;
            write_page(index, level, n, index->image + place * index->table->page);
        }
    return NULL;
}

static void end_index(Btree *index)
{
    free(index->entries);
    free(index->cells.data);
    for (int level = 0; level < index->levels; level++)
        free(index->cuts[level]);
}

/* ── the file ────────────────────────────────────────────────────────────────────────── */

/* Have a database's file at hand; refused where its pages are not plainly one after another. */
static int open_table(Table *table, int handle)
{
    struct stat said;
    if (fstat(handle, &said) || said.st_size < 512 || said.st_size > MOST_BYTES)
        return REFUSED;
    table->size = (size_t)said.st_size;
    table->file = mmap(NULL, table->size, PROT_READ, MAP_SHARED, handle, 0);
    if (table->file == MAP_FAILED) {
        table->file = NULL;
        return REFUSED;
    }
    Place file = table->file;
    table->page = get16(file + 16);
    /* Pages of a power of two up to 32,768 bytes, nothing at their ends, UTF-8, and no map of
     * pages that would have to know the new ones. */
    if (memcmp(file, "SQLite format 3", 16) || table->page < 512 ||
        table->page & (table->page - 1) || file[20] || get32(file + 56) != 1 || get32(file + 52) ||
        get32(file + 28) * table->page != table->size)
        return REFUSED;
    table->leaves.most = MOST_BYTES;
    return DONE;
}

static int write_all(int handle, Place from, size_t size, size_t at)
{
    while (size) {
        ssize_t done = pwrite(handle, from, size, (off_t)at);
        if (done <= 0)
            return FAILED;
        from += done, size -= (size_t)done, at += (size_t)done;
    }
    return DONE;
}

/* Plan the indexes; refused when one is. */
static int plan_all(Btree *indexes, int count)
{
    each_apart(plan, indexes, sizeof *indexes, (size_t)count);
    for (int n = 0; n < count; n++)
        if (indexes[n].state != DONE)
            return REFUSED;
    return DONE;
}

/* Write planned indexes behind the file's last page, their roots first. */
static int append_indexes(const Table *table, Btree *indexes, int count, int handle)
{
    size_t first = table->size / table->page + 1, next = first + (size_t)count;
    for (int n = 0; n < count; n++)
        give_numbers(indexes + n, first + (size_t)n, &next);
    size_t size = (next - first) * table->page;
    unsigned char *image = size + table->size < MOST_BYTES ? calloc(1, size) : NULL, head[100];
    if (!image)
        return REFUSED;
    for (int n = 0; n < count; n++)
        indexes[n].image = image, indexes[n].first = first;
    each_apart(write_index, indexes, sizeof *indexes, (size_t)count);
    memcpy(head, table->file, sizeof head);
    size_t changes = get32(head + 24) + 1; /* whoever knew the file reads it anew */
    put32(head + 24, changes);
    put32(head + 28, next - 1);
    put32(head + 92, changes);
    int state = write_all(handle, image, size, table->size);
    free(image);
    return state == DONE ? write_all(handle, head, sizeof head, 0) : FAILED;
}
