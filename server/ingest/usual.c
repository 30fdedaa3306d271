/* Reads the usual lines of Codex rollouts: what `codex.py` does with them, compiled.
 *
 * read() takes lines as long as each is one whose meaning is certain from its shape, and stops
 * before the first that is not: a head it does not know, bytes that are no text, figures in
 * another order. Those are left to the Python next door. A crew reads whole files so, beside the
 * interpreter. Without this module the Python reads all lines, with the same result.
 *
 * price() prices calls, and unchanged() looks at many files: each is what the Python does that
 * calls it where there is no such module.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include <Python.h>

#include "lines.h"

#include "claude.h"

#include "crew.h"

#include "pages.h"

#include "indexes.h"

#include "repeats.h"

#define FORM 23 /* what early.py expects; raise both when something here changes */

static const char *const text_names[] = {"owner", "model", "effort", "turn", "last_turn", "last_id"};
static const char *const number_names[] = {"epoch", "turn_at", "output_at",
                                           "count", "window", "limits", "heard", "ended"};

/* ── from Python and back ────────────────────────────────────────────────────────────── */

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

/* What a state was loaded with, and the text that was made last for each column. */
enum { TURN_COLUMN, MODEL_COLUMN, EFFORT_COLUMN, COLUMNS };

typedef struct {
    PyObject *given[TEXTS]; /* borrowed from the dict; NULL: none */
    Text loaded[TEXTS];
    PyObject *last[COLUMNS]; /* owned */
    Text made[COLUMNS];
    const char *prefix;
    PyObject *initiators[INITIATORS]; /* owned */
    int claude; /* whether calls have Claude's columns, too */
} Names;

static int begin_names(Names *names, const char *prefix, PyObject *asked, int claude)
{
    static const char *const words[] = {NULL, "tool", "unknown", "compaction", "agent",
                                        "user"};
    memset(names, 0, sizeof *names);
    names->prefix = prefix, names->claude = claude;
    for (int n = 0; n < TEXTS; n++)
        names->loaded[n] = nothing;
    for (int n = 0; n < COLUMNS; n++)
        names->made[n] = nothing;
    names->initiators[ASKED] = or_none(asked);
    /* In an agent's thread it is an agent that asks, whatever for. */
    int by_agent = !claude && asked && PyUnicode_CompareWithASCIIString(asked, "agent") == 0;
    for (int n = TOOL; n < INITIATORS; n++)
        if (!(names->initiators[n] =
                  PyUnicode_InternFromString(words[n == UNKNOWN && by_agent ? AGENT : n])))
            return FAILED;
    return DONE;
}

static void end_names(Names *names)
{
    for (int n = 0; n < COLUMNS; n++)
        Py_XDECREF(names->last[n]);
    for (int n = ASKED; n < INITIATORS; n++)
        Py_XDECREF(names->initiators[n]);
}

static int is_text_of(Text one, Text other)
{
    return one.at == other.at && one.size == other.size;
}

static PyObject *as_text(const State *state, const Names *names, Text text)
{
    if (!GIVEN(text))
        return or_none(NULL);
    for (int n = 0; n < TEXTS; n++)
        if (is_text_of(names->loaded[n], text) && names->given[n])
            return or_none(names->given[n]);
    return PyUnicode_DecodeUTF8((const char *)bytes_of(state, text), text.size, "strict");
}

/* Most calls have a turn, a model and an effort that the call before them had. */
static PyObject *as_column(const State *state, Names *names, int column, Text text)
{
    if (!names->last[column] || !is_text_of(names->made[column], text)) {
        Py_XDECREF(names->last[column]);
        names->last[column] = as_text(state, names, text);
        names->made[column] = text;
    }
    Py_XINCREF(names->last[column]);
    return names->last[column];
}

static PyObject *as_name(const State *state, const Names *names, Text text, int made_up)
{
    if (!made_up)
        return as_text(state, names, text);
    char end[128] = "";
    memcpy(end, bytes_of(state, text), text.size < sizeof end ? text.size : sizeof end - 1);
    return PyUnicode_FromFormat("%s%s", names->prefix, end);
}

static PyObject *as_call(const State *state, Names *names, const Call *call)
{
    int size = 5 + CALL_NUMBERS + (names->claude ? 2 : 0);
    PyObject *row = PyTuple_New(size), *values[5 + CALL_NUMBERS + 2] = {
        as_name(state, names, call->name, call->made_up),
        as_column(state, names, TURN_COLUMN, call->turn),
        as_column(state, names, MODEL_COLUMN, call->model),
        as_column(state, names, EFFORT_COLUMN, call->effort),
        or_none(names->initiators[call->initiator]),
    };
    int failed = !row;
    for (int n = 0; n < CALL_NUMBERS; n++)
        values[5 + n] = as_number(call->numbers[n]);
    if (names->claude) { /* what is kept for an hour, and the tier */
        values[5 + CALL_NUMBERS] = as_number(call->hour);
        values[6 + CALL_NUMBERS] = or_none(NULL);
    }
    for (int n = 0; n < size; n++) {
        failed |= !values[n];
        if (row)
            PyTuple_SetItem(row, n, values[n]);
        else
            Py_XDECREF(values[n]);
    }
    if (!failed)
        return row;
    Py_XDECREF(row);
    return NULL;
}

static int append(PyObject *list, PyObject *value) /* takes the reference */
{
    int failed = !value || PyList_Append(list, value);
    Py_XDECREF(value);
    return failed ? FAILED : DONE;
}

static int append_calls(PyObject *list, const State *state, Names *names)
{
    for (size_t n = 0; n < CALL_COUNT(state); n++)
        if (append(list, as_call(state, names, CALLS(state) + n)) == FAILED)
            return FAILED;
    return DONE;
}

static int append_limits(PyObject *list, const State *state)
{
    const Limit *limit = (const Limit *)(const void *)state->limits.data;
    for (size_t n = 0; n < state->limits.size / sizeof *limit; n++, limit++)
        if (append(list, Py_BuildValue("(Ly#)", (long long)limit->at, bytes_of(state, limit->raw),
                                       (Py_ssize_t)limit->raw.size)) == FAILED)
            return FAILED;
    return DONE;
}

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


static int load(State *state, Names *names, PyObject *values)
{
    for (int n = 0; n < TEXTS; n++) {
        PyObject *value = item(values, text_names[n]);
        Py_ssize_t size = 0;
        const char *bytes = "\xff"; /* as no text is: half a surrogate is like no other */
        state->texts[n] = nothing;
        if (!PyUnicode_Check(value))
            continue;
        const char *said = PyUnicode_AsUTF8AndSize(value, &size);
        PyErr_Clear();
        names->given[n] = value;
        if (keep(state, &state->texts[n], (Place)(said ? said : bytes), said ? (size_t)size : 1) ==
            FAILED)
            return FAILED;
        names->loaded[n] = state->texts[n];
    }
    for (int n = 0; n < NUMBERS; n++)
        state->numbers[n] = whole(item(values, number_names[n]));
    if (state->numbers[EPOCH] == NONE)
        state->numbers[EPOCH] = 0;
    if (state->numbers[COUNT] == NONE)
        state->numbers[COUNT] = 0;
    if (state->numbers[HEARD] == NONE)
        state->numbers[HEARD] = 0;
    state->records = PyObject_IsTrue(item(values, "records")) == 1;
    state->user = PyObject_IsTrue(item(values, "user")) == 1;
    state->has_meta = item(values, "meta") != Py_None;
    state->has_title = item(values, "title") != Py_None;
    PyObject *totals = item(values, "totals");
    state->totals_size = totals == Py_None                                     ? 0
                         : PyList_Check(totals) && PyList_Size(totals) == 0 ? AHEAD
                                                                            : -1;
    if (PyList_Check(totals) && PyList_Size(totals) == SUMS) {
        state->totals_size = SUMS;
        for (int n = 0; n < SUMS; n++) {
            state->totals[n] = whole(PyList_GetItem(totals, n));
            if (state->totals[n] == NONE)
                state->totals_size = -1;
        }
    }
    return DONE;
}

static int put(PyObject *values, const char *name, PyObject *value) /* takes the reference */
{
    int failed = !value || PyDict_SetItemString(values, name, value);
    Py_XDECREF(value);
    return failed;
}

static int save(const State *state, const Names *names, PyObject *values)
{
    PyObject *texts[TEXTS];
    for (int n = 0; n < TEXTS; n++) /* all, before one that is given is let go of */
        texts[n] = n == LAST_ID ? as_name(state, names, state->texts[n], state->last_made_up)
                                : as_text(state, names, state->texts[n]);
    int failed = 0;
    for (int n = 0; n < TEXTS; n++)
        failed |= put(values, text_names[n], texts[n]);
    for (int n = 0; n < NUMBERS; n++)
        failed |= put(values, number_names[n], as_number(state->numbers[n]));
    failed |= put(values, "records", PyBool_FromLong(state->records));
    failed |= put(values, "user", PyBool_FromLong(state->user));
    if (!failed && state->totals_new) {
        const int64_t *t = state->totals;
        failed = put(values, "totals", Py_BuildValue("[LLLLL]", (long long)t[A], (long long)t[B],
                                                     (long long)t[C], (long long)t[D],
                                                     (long long)t[RUNNING]));
    }
    return failed ? FAILED : DONE;
}

/* ── pieces ──────────────────────────────────────────────────────────────────────────── */

static const char read_doc[] =
    "read(data, place, base, state, prefix, asked, calls, compactions, limits)\n"
    "    -> (place, end, lines, kind, lines and events of unknown kinds)\n\n"
    "Take the usual lines of `data` (whole lines) from `place` on. Calls, names of compactions and\n"
    "(time, rate limits as bytes) are appended to the lists, and `state` (a dict) is brought up to\n"
    "date. Returns where the first line that is not usual begins and ends, or twice the end of\n"
    "`data`; how many lines were taken; and of that line 2 for a session's head, 3 for a user's\n"
    "message and 4 for a user's item, which may give the title, 0 for any other.";

/* A call that an earlier piece held made the summary. */
static int append_compactions(PyObject *list, PyObject *calls, const State *state,
                              const Names *names)
{
    const Text *found = (const Text *)(const void *)state->compactions.data;
    for (size_t n = 0; n < state->compactions.size / sizeof *found; n++) {
        PyObject *name = as_text(state, names, found[n]);
        Py_ssize_t size = PyList_Size(calls);
        PyObject *last = size ? PyList_GetItem(calls, size - 1) : NULL;
        if (!name || !last || !PyTuple_Check(last) || PyTuple_Size(last) != 5 + CALL_NUMBERS ||
            !PyUnicode_Check(PyTuple_GetItem(last, 0)) ||
            PyUnicode_Compare(PyTuple_GetItem(last, 0), name) != 0) {
            if (append(list, name) == FAILED)
                return FAILED;
            continue;
        }
        Py_DECREF(name);
        PyObject *row = PyTuple_New(5 + CALL_NUMBERS);
        if (!row)
            return FAILED;
        for (int place = 0; place < 5 + CALL_NUMBERS; place++)
            PyTuple_SetItem(row, place,
                            or_none(place == 4 ? names->initiators[COMPACTION]
                                               : PyTuple_GetItem(last, place)));
        if (PyList_SetItem(calls, size - 1, row))
            return FAILED;
    }
    return DONE;
}

static int read_lines(State *state, Place *line, Place end, Place *stop, Py_ssize_t *lines)
{
    int done = DONE;
    while (done == DONE && *line < end) {
        Place next = memchr(*line, '\n', (size_t)(end - *line));
        *stop = next ? next + 1 : end;
        done = next ? read_line(state, *line, next) : ODD;
        if (done == DONE)
            *line = *stop, ++*lines;
    }
    return done;
}

static PyObject *read_(PyObject *module, PyObject *args)
{
    Py_buffer data;
    Py_ssize_t place, lines = 0;
    long long base;
    PyObject *values, *asked, *calls, *compactions, *limits;
    const char *prefix;
    State state = {0};
    Names names;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nLO!sUO!O!O!", &data, &place, &base, &PyDict_Type, &values,
                          &prefix, &asked, &PyList_Type, &calls, &PyList_Type, &compactions,
                          &PyList_Type, &limits))
        return NULL;
    Place end = (Place)data.buf + data.len, stop = end;
    Place line = (Place)data.buf + (place < 0 || place > data.len ? data.len : place);
    state.data = data.buf, state.base = base, state.raw = nothing;
    state.heap.most = state.calls.most = state.limits.most = state.compactions.most = 1u << 31;
    int done = begin_names(&names, prefix, asked, 0);
    if (done == DONE)
        done = load(&state, &names, values);
    if (done == DONE)
        done = read_lines(&state, &line, end, &stop, &lines);
    if (done != FAILED && (append_compactions(compactions, calls, &state, &names) == FAILED ||
                           append_calls(calls, &state, &names) == FAILED ||
                           append_limits(limits, &state) == FAILED ||
                           save(&state, &names, values) == FAILED))
        done = FAILED;
    end_names(&names);
    free(state.heap.data);
    free(state.calls.data);
    free(state.limits.data);
    free(state.compactions.data);
    Py_ssize_t at = line - (Place)data.buf, after = stop - (Place)data.buf;
    PyBuffer_Release(&data);
    if (done == FAILED)
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    return Py_BuildValue("(nnniLL)", at, after, lines, done == DONE ? 0 : done,
                         (long long)state.unknown[LINES], (long long)state.unknown[EVENTS]);
}

/* ── whole files ─────────────────────────────────────────────────────────────────────── */

static const char crew_name[] = "usual.crew";

static void drop_crew(PyObject *capsule)
{
    Crew *crew = PyCapsule_GetPointer(capsule, crew_name);
    Py_BEGIN_ALLOW_THREADS
    end_crew(crew);
    Py_END_ALLOW_THREADS
}

static const char crew_doc[] =
    "crew(paths, threads, claude=-1) -> crew\n\n"
    "Begin to read whole logs (a list of paths as bytes) beside the interpreter: Codex' up to the\n"
    "path `claude`, from there on Claude's.";

static PyObject *crew_(PyObject *module, PyObject *args)
{
    PyObject *paths;
    Py_ssize_t claude = -1;
    int threads;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!i|n", &PyList_Type, &paths, &threads, &claude))
        return NULL;
    Crew *crew = new_crew((size_t)PyList_Size(paths));
    if (!crew)
        return PyErr_NoMemory();
    crew->claude = claude < 0 ? SIZE_MAX : (size_t)claude;
    for (Py_ssize_t n = 0; n < PyList_Size(paths); n++) {
        char *path = PyBytes_AsString(PyList_GetItem(paths, n));
        if (!path || !(crew->paths[n] = strdup(path))) {
            end_crew(crew);
            return path ? PyErr_NoMemory() : NULL;
        }
        crew->count++;
    }
    start_crew(crew, threads);
    PyObject *capsule = PyCapsule_New(crew, crew_name, drop_crew);
    if (!capsule)
        end_crew(crew);
    return capsule;
}

static const char fold_doc[] =
    "fold(crew) -> bool\n\nRead the next file here; False when each is taken.";

static PyObject *fold_(PyObject *module, PyObject *capsule)
{
    Crew *crew = PyCapsule_GetPointer(capsule, crew_name);
    int done;
    (void)module;
    if (!crew)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    done = fold_next(crew, &crew->own);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(done);
}

static PyObject *as_specials(const Told *told)
{
    const Special *special = (const Special *)(const void *)told->specials.data;
    PyObject *list = PyList_New(0);
    for (size_t n = 0; list && n < told->specials.size / sizeof *special; n++, special++)
        if (append(list, Py_BuildValue("(iy#)", special->kind, bytes_of(&told->state, special->raw),
                                       (Py_ssize_t)special->raw.size)) == FAILED)
            Py_CLEAR(list);
    return list;
}

/* Whether the first call is one that the log named no response of. */
static int is_legacy(const State *state)
{
    const Call *call = CALLS(state);
    return CALL_COUNT(state) && (call->made_up || (call->name.size >= 4 &&
                                                   !memcmp(bytes_of(state, call->name), "log_", 4)));
}

/* A state's values in the order of `codex.State`, from `records` to `limits`. */
static PyObject *as_state(const State *state, const Names *names)
{
    const Text *texts = state->texts;
    const int64_t *numbers = state->numbers, *t = state->totals;
    PyObject *totals = state->totals_size == SUMS
                           ? Py_BuildValue("[LLLLL]", (long long)t[A], (long long)t[B],
                                           (long long)t[C], (long long)t[D], (long long)t[RUNNING])
                       : state->totals_size == AHEAD ? PyList_New(0)
                                                     : or_none(NULL);
    return Py_BuildValue(
        "(NLNNNNNNNNNLNNLN)", PyBool_FromLong(state->records), (long long)numbers[EPOCH], totals,
        as_text(state, names, texts[MODEL]), as_text(state, names, texts[EFFORT]),
        as_text(state, names, texts[TURN]), as_number(numbers[TURN_AT]),
        PyBool_FromLong(state->user), as_number(numbers[OUTPUT_AT]),
        as_text(state, names, texts[LAST_TURN]), as_text(state, names, texts[LAST_ID]),
        (long long)numbers[COUNT], as_number(numbers[WINDOW]), as_number(numbers[LIMITS]),
        (long long)numbers[HEARD], as_number(numbers[ENDED]));
}

static PyObject *as_raw(const State *state, Text text)
{
    return GIVEN(text) ? PyBytes_FromStringAndSize((const char *)bytes_of(state, text), text.size)
                       : or_none(NULL);
}

static PyObject *as_words(const State *state, Text text)
{
    return GIVEN(text) ? PyUnicode_DecodeUTF8((const char *)bytes_of(state, text), text.size, "strict")
                       : or_none(NULL);
}

/* What was told last of the session itself, or of a side conversation; as `claude.State`. */
static PyObject *as_lane(const State *state, const Lane *lane)
{
    static const char *const words[] = {NULL, "tool", NULL, "compaction", "agent", "user"};
    return Py_BuildValue("[zNNzNN]", words[lane->by], as_number(lane->since),
                         as_words(state, lane->last), words[lane->last_by],
                         as_number(lane->last_since), as_words(state, lane->request));
}

/* The same of a log of Claude: its state is what the first line tells of its session, and how
 * many lines were looked at for a title. */
static PyObject *as_claude_facts(size_t number, const Told *told)
{
    const State *state = &told->state;
    const Session *session = &told->session;
    PyObject *meta = session->described
                         ? Py_BuildValue("(NNNN)", as_raw(state, session->cwd),
                                         as_raw(state, session->branch),
                                         as_raw(state, session->version),
                                         as_number(session->written))
                         : or_none(NULL);
    return Py_BuildValue("(n(LLL)O(NiNN)[]NLLsiini(ii))", (Py_ssize_t)number, (long long)told->size,
                         (long long)told->changed, (long long)told->inode, Py_None, meta,
                         session->asked, as_lane(state, &session->lanes[0]),
                         as_lane(state, &session->lanes[1]), as_specials(told), (long long)told->end,
                         (long long)told->lines, told->fingerprint, session->more, 0,
                         (Py_ssize_t)CALL_COUNT(state), 0, 0, 0);
}

/* What the Python makes a `Records` and a `State` of. */
static PyObject *as_facts(size_t number, const Told *told)
{
    if (!told || !told->whole)
        return Py_BuildValue("(nO)", (Py_ssize_t)number, Py_None);
    if (told->session.is)
        return as_claude_facts(number, told);
    const State *state = &told->state;
    Names names;
    PyObject *limits = PyList_New(0);
    if (begin_names(&names, "", NULL, 0) == FAILED ||
        (limits && append_limits(limits, state) == FAILED))
        Py_CLEAR(limits);
    PyObject *facts =
        limits ? Py_BuildValue("(n(LLL)NNNNLLsiini(LL))", (Py_ssize_t)number, (long long)told->size,
                               (long long)told->changed, (long long)told->inode,
                               as_text(state, &names, state->texts[OWNER]),
                               as_state(state, &names), limits, as_specials(told),
                               (long long)told->end, (long long)told->lines, told->fingerprint,
                               told->more_titles, state->last_made_up,
                               (Py_ssize_t)CALL_COUNT(state), is_legacy(state),
                               (long long)state->unknown[LINES],
                               (long long)state->unknown[EVENTS])
               : NULL;
    end_names(&names);
    return facts;
}

static size_t wait_for(Crew *crew, int wait)
{
    pthread_mutex_lock(&crew->lock);
    while (wait && crew->told == crew->done && crew->done < crew->next)
        pthread_cond_wait(&crew->bell, &crew->lock);
    size_t done = crew->done;
    pthread_mutex_unlock(&crew->lock);
    return done;
}

static const char told_doc[] =
    "told(crew, wait) -> list\n\n"
    "The files that were read since the last time: (number, None) of one that is not usual,\n"
    "otherwise (number, (size, time, inode), owner, state, limits, lines for the Python, offset,\n"
    "lines, fingerprint, whether more messages may give a title, whether the last name lacks its\n"
    "beginning, calls, whether the first names no response, how many lines and events are of unknown\n"
    "kinds). With `wait` it waits for one, if one\n"
    "is being read.";

static PyObject *told_(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    int wait;
    size_t done;
    (void)module;
    if (!PyArg_ParseTuple(args, "Op", &capsule, &wait))
        return NULL;
    Crew *crew = PyCapsule_GetPointer(capsule, crew_name);
    if (!crew)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    done = wait_for(crew, wait);
    Py_END_ALLOW_THREADS
    PyObject *list = PyList_New(0);
    for (; list && crew->told < done; crew->told++) {
        size_t number = crew->order[crew->told];
        if (append(list, as_facts(number, crew->results[number])) == FAILED)
            Py_CLEAR(list);
    }
    return list;
}

static Told *told_of(Crew *crew, Py_ssize_t place)
{
    Told *told = place >= 0 && (size_t)place < crew->count ? crew->results[place] : NULL;
    if (!told)
        PyErr_SetString(PyExc_ValueError, "nothing is known of this file");
    return told;
}

static const char calls_doc[] =
    "calls(crew, number, prefix, asked) -> list\n\n"
    "The calls of a file that was told of, and forget it.";

static PyObject *calls_(PyObject *module, PyObject *args)
{
    PyObject *capsule, *asked;
    Py_ssize_t number;
    const char *prefix;
    Names names;
    (void)module;
    if (!PyArg_ParseTuple(args, "OnsU", &capsule, &number, &prefix, &asked))
        return NULL;
    Crew *crew = PyCapsule_GetPointer(capsule, crew_name);
    if (!crew)
        return NULL;
    Told *told = told_of(crew, number);
    if (!told)
        return NULL;
    PyObject *list = PyList_New(0);
    int done = begin_names(&names, prefix, asked, told->session.is);
    if (done == FAILED || (list && append_calls(list, &told->state, &names) == FAILED))
        Py_CLEAR(list);
    end_names(&names);
    crew->results[number] = NULL;
    end_told(told);
    return list;
}

/* ── a crew's calls, priced and as a table ───────────────────────────────────────────── */

static const char tariff_doc[] =
    "tariff(crew, model, status, tariff)\n\n"
    "Tell by which rates (as in price()) a model's calls cost, None: calls without a model.";

static PyObject *tariff_(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    const char *model, *status;
    Tariff t = {0};
    (void)module;
    if (!PyArg_ParseTuple(args, "Ozs((LLLLL)(LLLLL)(LLLLL)LLL)", &capsule, &model, &status,
                          &t.normal[0], &t.normal[1], &t.normal[2], &t.normal[3], &t.normal[4], &t.extended[0],
                          &t.extended[1], &t.extended[2], &t.extended[3], &t.extended[4], &t.credit[0],
                          &t.credit[1], &t.credit[2], &t.credit[3], &t.credit[4], &t.longest, &t.since, &t.until))
        return NULL;
    Crew *crew = PyCapsule_GetPointer(capsule, crew_name);
    if (!crew)
        return NULL;
    if (!in_range(t.normal) || !in_range(t.extended) || !in_range(t.credit) || t.since >= t.until) {
        PyErr_SetString(PyExc_ValueError, "rates that cannot be");
        return NULL;
    }
    t.model = model ? strdup(model) : NULL, t.status = strdup(status);
    Tariff *kept = t.status && (t.model || !model) ? more(&crew->tariffs, sizeof t) : NULL;
    if (!kept) {
        free(t.model);
        free(t.status);
        return PyErr_NoMemory();
    }
    *kept = t;
    return or_none(NULL);
}

static int holds(const Tariff *tariff, const State *state, const Call *call)
{
    size_t size = tariff->model ? strlen(tariff->model) : 0;
    if (call->numbers[AT] < tariff->since || call->numbers[AT] >= tariff->until)
        return 0;
    return tariff->model ? same(state, call->model, (Place)tariff->model, size)
                         : !GIVEN(call->model);
}

/* The tariff of a call, most likely that of the call before it; -1 where none is known. */
static int tariff_of(const Crew *crew, const State *state, const Call *call, int likely)
{
    const Tariff *tariffs = (const Tariff *)(const void *)crew->tariffs.data;
    int count = (int)(crew->tariffs.size / sizeof *tariffs);
    if (likely >= 0 && likely < count && holds(tariffs + likely, state, call))
        return likely;
    for (int n = 0; n < count; n++)
        if (holds(tariffs + n, state, call))
            return n;
    return -1;
}

static PyObject *model_of(const State *state, const Call *call)
{
    return GIVEN(call->model) ? PyUnicode_DecodeUTF8((const char *)bytes_of(state, call->model),
                                                     call->model.size, "strict")
                              : or_none(NULL);
}

/* Price a call; false for one that cannot be as it is. */
static int price_call(const Crew *crew, Call *call)
{
    const Tariff *tariff = (const Tariff *)(const void *)crew->tariffs.data + call->tariff;
    const int64_t *tokens = call->numbers + N_INPUT;
    if (!is_plain(tokens))
        return 0;
    call->cost = price(tokens[INPUT] > tariff->longest ? tariff->extended : tariff->normal, tokens,
                       call->hour);
    call->credits = price(tariff->credit, tokens, call->hour);
    return 1;
}

static const char sums_doc[] =
    "sums(crew, place, first) -> (list, newest), (model, time) or None\n\n"
    "Price the calls of a file that was told of. Returns the sums of those from `first` on by the\n"
    "quarter of an hour and model, (quarter, model, calls, input, cached, output, reasoning, cost, unpriced), and the\n"
    "newest call's time; or of a call that no tariff holds for its model and time; or None where a\n"
    "call cannot be as it is, or may be one of another file: that is for the Python. A response of\n"
    "Claude that settle() gave another log is left out, here and by pages().";

static int add_run(PyObject *list, const State *state, const Call *call, const long long sums[7])
{
    PyObject *model = model_of(state, call);
    if (!model)
        return FAILED;
    return append(list, Py_BuildValue("(LNLLLLLLL)", (long long)(call->numbers[AT] / QUARTER_MS),
                                      model, sums[0], sums[1], sums[2], sums[3], sums[4], sums[5],
                                      sums[6]));
}

static int is_same_run(const Call *one, const Call *other)
{
    return one->tariff == other->tariff &&
           one->numbers[AT] / QUARTER_MS == other->numbers[AT] / QUARTER_MS;
}

/* Remember the calls of Codex; ODD where one is known already. */
static int mark_calls(Crew *crew, const Told *told)
{
    const Call *calls = CALLS(&told->state);
    size_t count = told->session.is ? 0 : CALL_COUNT(&told->state);
    for (size_t n = 0; n < count; n++)
        if (!add_mark(crew, calls[n].mark))
            return ODD;
    return DONE;
}

/* Price all calls; DONE, or ODD where one has to be looked at by the Python: `*at`. */
static int price_calls(Crew *crew, Told *told, Call **at)
{
    const State *state = &told->state;
    Call *calls = CALLS(state);
    size_t count = CALL_COUNT(state);
    int tariff = -1;
    if (told->priced)
        return DONE;
    for (size_t n = 0; n < count; n++) {
        Call *call = *at = calls + n;
        if (call->tariff == REPEATED)
            continue;
        call->tariff = tariff = tariff_of(crew, state, call, tariff);
        if (call->tariff < 0)
            return ODD;
        if (!price_call(crew, call)) {
            call->tariff = -1;
            *at = NULL;
            return ODD;
        }
    }
    *at = NULL;
    told->priced = mark_calls(crew, told) == DONE;
    return told->priced ? DONE : ODD;
}

static int add_runs(PyObject *list, const State *state, size_t first)
{
    const Call *calls = CALLS(state), *last = NULL;
    size_t count = CALL_COUNT(state);
    long long sums[7] = {0};
    for (size_t n = first; n < count; n++) {
        const Call *call = calls + n;
        const int64_t *numbers = call->numbers;
        if (call->tariff == REPEATED)
            continue;
        if (last && !is_same_run(last, call)) {
            if (add_run(list, state, last, sums) == FAILED)
                return FAILED;
            memset(sums, 0, sizeof sums);
        }
        sums[0]++, sums[1] += numbers[N_INPUT], sums[2] += numbers[N_CACHED];
        sums[3] += numbers[N_OUTPUT], sums[4] += numbers[N_REASONING];
        sums[5] += call->cost == NONE ? 0 : call->cost, sums[6] += call->cost == NONE;
        last = call;
    }
    return last ? add_run(list, state, last, sums) : DONE;
}

/* What (crew, place, first) ask for: a file of the crew, from its call `first` on. */
static Told *asked_of(PyObject *args, Crew **crew, Py_ssize_t *first)
{
    PyObject *capsule;
    Py_ssize_t place;
    if (!PyArg_ParseTuple(args, "Onn", &capsule, &place, first))
        return NULL;
    *crew = PyCapsule_GetPointer(capsule, crew_name);
    return *crew ? told_of(*crew, place) : NULL;
}

static PyObject *sums_(PyObject *module, PyObject *args)
{
    Crew *crew;
    Py_ssize_t first;
    Told *told = asked_of(args, &crew, &first);
    (void)module;
    if (!told)
        return NULL;
    const State *state = &told->state;
    size_t count = CALL_COUNT(state);
    Call *call = NULL;
    if (price_calls(crew, told, &call) != DONE)
        return call ? Py_BuildValue("(NL)", model_of(state, call), (long long)call->numbers[AT])
                    : or_none(NULL);
    PyObject *list = PyList_New(0);
    if (list && add_runs(list, state, first < 0 ? 0 : (size_t)first) == FAILED)
        Py_CLEAR(list);
    if (!list)
        return NULL;
    int64_t newest = 0; /* the last response may have begun before another ended */
    for (size_t n = 0; n < count; n++)
        if (CALLS(state)[n].numbers[AT] > newest)
            newest = CALLS(state)[n].numbers[AT];
    return Py_BuildValue("(NL)", list, (long long)newest);
}

static const char emitted_doc[] =
    "emitted(crew, place, first) -> list\n\n"
    "Of each call of a file from `first` on (time, (running, input, cached, output, reasoning, turn),\n"
    "offset).";

static PyObject *turn_of(const State *state, const Call *call)
{
    return GIVEN(call->turn) ? PyUnicode_DecodeUTF8((const char *)bytes_of(state, call->turn),
                                                    call->turn.size, "strict")
                             : or_none(NULL);
}

static PyObject *emitted_(PyObject *module, PyObject *args)
{
    Crew *crew;
    Py_ssize_t first;
    Told *told = asked_of(args, &crew, &first);
    (void)module;
    PyObject *list = told ? PyList_New(0) : NULL;
    for (size_t n = first < 0 ? 0 : (size_t)first; list && n < CALL_COUNT(&told->state); n++) {
        const Call *call = CALLS(&told->state) + n;
        const int64_t *numbers = call->numbers;
        PyObject *one = Py_BuildValue("(L(NLLLLN)L)", (long long)numbers[AT],
                                      as_number(numbers[N_RUNNING]), (long long)numbers[N_INPUT],
                                      (long long)numbers[N_CACHED], (long long)numbers[N_OUTPUT],
                                      (long long)numbers[N_REASONING],
                                      turn_of(&told->state, call), (long long)numbers[N_OFFSET]);
        if (append(list, one) == FAILED)
            Py_CLEAR(list);
    }
    return list;
}

static const char forget_doc[] = "forget(crew, place)\n\nLet go of what is known of a file.";

static PyObject *forget_(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    Py_ssize_t place;
    (void)module;
    if (!PyArg_ParseTuple(args, "On", &capsule, &place))
        return NULL;
    Crew *crew = PyCapsule_GetPointer(capsule, crew_name);
    Told *told = crew ? told_of(crew, place) : NULL;
    if (!told)
        return NULL;
    crew->results[place] = NULL;
    end_told(told);
    return or_none(NULL);
}

/* The logs of these places. */
static int these_logs(PyObject *args, Logs *logs)
{
    PyObject *capsule, *places;
    if (!PyArg_ParseTuple(args, "OO!", &capsule, &PyList_Type, &places))
        return FAILED;
    Crew *crew = PyCapsule_GetPointer(capsule, crew_name);
    if (!crew)
        return FAILED;
    logs->told = calloc((size_t)PyList_Size(places) + 1, sizeof *logs->told);
    if (logs->told)
        for (; logs->count < (size_t)PyList_Size(places); logs->count++) {
            Py_ssize_t place = PyLong_AsSsize_t(PyList_GetItem(places, (Py_ssize_t)logs->count));
            if (!(logs->told[logs->count] = PyErr_Occurred() ? NULL : told_of(crew, place)))
                return FAILED;
        }
    if (logs->told && begin_logs(logs) == DONE)
        return DONE;
    PyErr_NoMemory();
    return FAILED;
}

static const char shared_doc[] =
    "shared(crew, places) -> list\n\n"
    "Which logs of Claude tell of the same responses: (the log's group, whether it has responses\n"
    "of its own, whether each is told alike) of each; the group is None where it shares nothing.";

static PyObject *shared_(PyObject *module, PyObject *args)
{
    Logs logs = {0};
    (void)module;
    PyObject *list = these_logs(args, &logs) == DONE ? PyList_New(0) : NULL;
    if (list)
        group_logs(&logs);
    for (uint32_t file = 0; list && file < logs.count; file++) {
        const State *state = &logs.told[file]->state;
        int shares = 0, alone = 0;
        for (size_t n = 0; n < CALL_COUNT(state); n++)
            if (CALLS(state)[n].shared)
                shares = 1;
            else
                alone = 1;
        PyObject *one = Py_BuildValue("(NNN)", shares ? as_number(group_of(&logs, file)) : or_none(NULL),
                                      PyBool_FromLong(alone), PyBool_FromLong(!logs.odd[file]));
        if (append(list, one) == FAILED)
            Py_CLEAR(list);
    }
    end_logs(&logs);
    return list;
}

static const char settle_doc[] =
    "settle(crew, places) -> (names, pairs)\n\n"
    "Let each response be the call of the first of these logs that tells of it, with the largest\n"
    "figures. Returns the names of those that several tell, and (place in the list, place in the\n"
    "list) of the log that has it and one that tells it too, each pair once or more.";

static int add_settled(PyObject *names, PyObject *pairs, const Logs *logs, uint32_t *last)
{
    for (uint32_t file = 0; file < logs->count; file++)
        for (uint32_t n = 0; n < CALL_COUNT(&logs->told[file]->state); n++) {
            Telling now = {file, n}, first = first_telling(logs, now);
            Call *call = call_of(logs, first);
            const State *state = &logs->told[first.file]->state;
            if (first.file == file) {
                call->shared = 0; /* nobody told it again so far */
                continue;
            }
            leave_out(call, call_of(logs, now));
            if (!call->shared++ &&
                append(names, PyUnicode_DecodeUTF8((const char *)bytes_of(state, call->name),
                                                   call->name.size, "strict")) == FAILED)
                return FAILED;
            if (last[first.file] != file &&
                append(pairs, Py_BuildValue("(II)", first.file, file)) == FAILED)
                return FAILED;
            last[first.file] = file;
        }
    return DONE;
}

static PyObject *settle_(PyObject *module, PyObject *args)
{
    Logs logs = {0};
    PyObject *names = PyList_New(0), *pairs = PyList_New(0), *both = NULL;
    (void)module;
    int done = these_logs(args, &logs);
    uint32_t *last = done == DONE ? calloc(logs.count + 1, sizeof *last) : NULL;
    if (done == DONE && !last)
        PyErr_NoMemory();
    if (last && names && pairs && add_settled(names, pairs, &logs, last) == DONE)
        both = Py_BuildValue("(OO)", names, pairs);
    free(last);
    end_logs(&logs);
    Py_XDECREF(names);
    Py_XDECREF(pairs);
    return both;
}

static const char pages_doc[] =
    "pages(sql, crew, files) -> bytes\n\n"
    "An SQLite database with the table `row`, which `sql` describes as `call`: the calls of files\n"
    "that were priced by sums(), (place, first, number, prefix, asked) each: those from `first` on,\n"
    "of the session and source `number`. Raises ValueError for what does not fit.";

static int add_file(Image *image, Crew *crew, PyObject *file)
{
    Py_ssize_t place, first;
    long long number;
    const char *prefix, *asked;
    if (!PyTuple_Check(file)) {
        PyErr_SetString(PyExc_TypeError, "a file is a tuple");
        return FAILED;
    }
    if (!PyArg_ParseTuple(file, "nnLss", &place, &first, &number, &prefix, &asked))
        return FAILED;
    Told *told = told_of(crew, place);
    if (!told)
        return FAILED;
    const State *state = &told->state;
    const Tariff *tariffs = (const Tariff *)(const void *)crew->tariffs.data;
    size_t known = crew->tariffs.size / sizeof *tariffs;
    for (size_t n = first < 0 ? 0 : (size_t)first; n < CALL_COUNT(state); n++) {
        const Call *call = CALLS(state) + n;
        if (call->tariff == REPEATED)
            continue;
        if (!told->priced || call->tariff < 0 || (size_t)call->tariff >= known ||
            add_call(image, told, call, tariffs + call->tariff, prefix, asked, number) == FAILED) {
            PyErr_SetString(PyExc_ValueError, "a call is too long, or there are too many");
            return FAILED;
        }
    }
    return DONE;
}

static PyObject *pages_(PyObject *module, PyObject *args)
{
    PyObject *capsule, *files, *made = NULL;
    const char *sql;
    Py_ssize_t length;
    (void)module;
    if (!PyArg_ParseTuple(args, "s#OO!", &sql, &length, &capsule, &PyList_Type, &files))
        return NULL;
    Crew *crew = PyCapsule_GetPointer(capsule, crew_name);
    Image *image = crew ? calloc(1, sizeof *image) : NULL;
    if (!image)
        return crew ? PyErr_NoMemory() : NULL;
    int done = DONE;
    for (Py_ssize_t n = 0; done == DONE && n < PyList_Size(files); n++)
        done = add_file(image, crew, PyList_GetItem(files, n));
    if (done == DONE) {
        size_t pages = finish(image, (Place)sql, (size_t)length);
        if (pages)
            made = PyBytes_FromStringAndSize((const char *)image->data, (Py_ssize_t)(pages * PAGE));
        else
            PyErr_SetString(PyExc_ValueError, "this table cannot be written");
    }
    free(image->data);
    free(image);
    return made;
}

/* ── indexes ─────────────────────────────────────────────────────────────────────────── */

static const char index_doc[] =
    "index(path, root, indexes) -> bool\n\n"
    "Write indexes of the table whose root page is `root` behind the last page of an SQLite\n"
    "database: (columns, unique, without, left_out) each. Their roots are the first pages written,\n"
    "in this order; rows with the number `left_out` in the column `without` (-1: none) are left\n"
    "out. False, and nothing is written, where SQLite has to make them: two rows are alike in a\n"
    "unique one, or they hold what no ledger does. Nobody may write to the file meanwhile, and\n"
    "whoever has it open has to open it again. Raises OSError.";

/* The place of a column among the fields that are read of each row; REFUSED where it has none. */
static int want(Table *table, long column)
{
    if (column < 0 || column >= MOST_FIELDS)
        return REFUSED;
    if (table->wanted[column] < 0)
        table->wanted[column] = (int8_t)table->width++;
    if (table->last < column)
        table->last = (int)column;
    return table->wanted[column];
}

static int load_index(Table *table, Btree *index, PyObject *given)
{
    PyObject *columns;
    int without, state = DONE;
    if (!PyTuple_Check(given) || !PyArg_ParseTuple(given, "O!pii", &PyTuple_Type, &columns,
                                                   &index->unique, &without, &index->left_out))
        return REFUSED;
    index->table = table, index->keys = (int)PyTuple_Size(columns);
    for (int n = 0; n < index->keys && n < MOST_KEYS; n++) {
        index->columns[n] = want(table, PyLong_AsLong(PyTuple_GetItem(columns, n)));
        state = index->columns[n] < 0 ? REFUSED : state;
    }
    index->without = without < 0 ? -1 : want(table, without);
    return without >= 0 && index->without < 0 ? REFUSED : state;
}

/* The same without the interpreter. */
static int make_indexes(Table *table, size_t root, Btree *indexes, int count, int handle)
{
    if (open_table(table, handle) != DONE || read_table(table, root) != DONE ||
        plan_all(indexes, count) != DONE)
        return REFUSED;
    return append_indexes(table, indexes, count, handle);
}

static PyObject *index_(PyObject *module, PyObject *args)
{
    const char *path;
    PyObject *given;
    long root;
    Table table = {.last = -1};
    Btree indexes[MOST_INDEXES] = {0};
    (void)module;
    if (!PyArg_ParseTuple(args, "ylO!", &path, &root, &PyList_Type, &given))
        return NULL;
    int count = (int)PyList_Size(given), state = count <= MOST_INDEXES ? DONE : REFUSED;
    memset(table.wanted, -1, sizeof table.wanted);
    for (int n = 0; state == DONE && n < count; n++)
        state = load_index(&table, indexes + n, PyList_GetItem(given, n));
    if (PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    int handle = state == DONE ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (state == DONE)
        state = handle < 0 ? FAILED : make_indexes(&table, (size_t)root, indexes, count, handle);
    int number = errno;
    for (int n = 0; n < count && n < MOST_INDEXES; n++)
        end_index(indexes + n);
    if (table.file)
        munmap(table.file, table.size);
    free(table.leaves.data);
    free(table.fields);
    free(table.numbers);
    if (handle >= 0)
        close(handle);
    errno = number;
    Py_END_ALLOW_THREADS
    return state == FAILED ? PyErr_SetFromErrnoWithFilename(PyExc_OSError, path)
                           : PyBool_FromLong(state == DONE);
}

/* ── prices ──────────────────────────────────────────────────────────────────────────── */

enum { CALLS_SUM, INPUT_SUM, CACHED_SUM, OUTPUT_SUM, REASONING_SUM, COST_SUM, DAY_SUMS };

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
    for (int n = 0; n <= REASONING; n++)
        tokens[n] = whole(PyTuple_GetItem(call, 7 + n));
    return is_plain(tokens);
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
    if (!PyArg_ParseTuple(args, "O!nO!OU((LLLLL)(LLLLL)(LLLLL)LLL)", &PyList_Type, &calls, &place,
                          &PyList_Type, &rows, &model, &status, &t.normal[0], &t.normal[1],
                          &t.normal[2], &t.normal[3], &t.normal[4], &t.extended[0], &t.extended[1],
                          &t.extended[2], &t.extended[3], &t.extended[4], &t.credit[0], &t.credit[1], &t.credit[2],
                          &t.credit[3], &t.credit[4], &t.longest, &t.since, &t.until))
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
        int64_t cost = price(tokens[INPUT] > t.longest ? t.extended : t.normal, tokens, 0);
        if (add_priced(rows, call, cost, price(t.credit, tokens, 0), status) == FAILED)
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

static int is_as(int folder, const char *name, const int64_t known[3])
{
    struct stat said;
    if (fstatat(folder, name, &said, 0))
        return 0;
    return said.st_size == known[0] && changed(&said) == known[1] && (int64_t)said.st_ino == known[2];
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

static PyMethodDef methods[] = {{"index", index_, METH_VARARGS, index_doc},
                                {"read", read_, METH_VARARGS, read_doc},
                                {"crew", crew_, METH_VARARGS, crew_doc},
                                {"fold", fold_, METH_O, fold_doc},
                                {"told", told_, METH_VARARGS, told_doc},
                                {"calls", calls_, METH_VARARGS, calls_doc},
                                {"tariff", tariff_, METH_VARARGS, tariff_doc},
                                {"sums", sums_, METH_VARARGS, sums_doc},
                                {"emitted", emitted_, METH_VARARGS, emitted_doc},
                                {"forget", forget_, METH_VARARGS, forget_doc},
                                {"shared", shared_, METH_VARARGS, shared_doc},
                                {"settle", settle_, METH_VARARGS, settle_doc},
                                {"pages", pages_, METH_VARARGS, pages_doc},
                                {"price", price_, METH_VARARGS, price_doc},
                                {"unchanged", unchanged_, METH_VARARGS, unchanged_doc},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "usual", "The usual lines of Codex rollouts.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_usual(void)
{
    begin_crc();
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "FORM", FORM)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
