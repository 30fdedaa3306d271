/* Responses that several logs of Claude tell: resumed and copied sessions begin with what another
 * one said. Which logs do, and what is left of each once they are in their order; the same as
 * `Ledger` finds when it stores them one by one.
 */

#define PLAINEST (MOST / 8) /* tokens; the largest of several logs are still below MOST */

typedef struct {
    uint32_t file, call; /* in the list of logs, and of its calls; FREE: nobody told one */
} Telling;

#define FREE UINT32_MAX

typedef struct {
    Told **told;
    size_t count, room; /* the room is a power of two */
    Telling *first;     /* by the response's mark */
    uint32_t *above;    /* of each log: another of its group, or itself */
    int *odd;           /* of each log: a response of it is not told alike */
} Logs;

static Call *call_of(const Logs *logs, Telling at)
{
    return CALLS(&logs->told[at.file]->state) + at.call;
}

static int begin_logs(Logs *logs)
{
    size_t calls = 0;
    for (size_t n = 0; n < logs->count; n++)
        calls += CALL_COUNT(&logs->told[n]->state);
    for (logs->room = 1024; logs->room < calls * 2;)
        logs->room *= 2;
    logs->first = malloc(logs->room * sizeof *logs->first);
    logs->above = malloc((logs->count + 1) * sizeof *logs->above);
    logs->odd = calloc(logs->count + 1, sizeof *logs->odd);
    if (!logs->first || !logs->above || !logs->odd)
        return FAILED;
    memset(logs->first, 0xff, logs->room * sizeof *logs->first);
    for (size_t n = 0; n < logs->count; n++)
        logs->above[n] = (uint32_t)n;
    return DONE;
}

static void end_logs(Logs *logs)
{
    free(logs->told);
    free(logs->first);
    free(logs->above);
    free(logs->odd);
}

static uint32_t group_of(const Logs *logs, uint32_t file)
{
    while (logs->above[file] != file)
        file = logs->above[file] = logs->above[logs->above[file]];
    return file;
}

/* Who told this response first, in the order of the list; that is this one where nobody did. */
static Telling first_telling(const Logs *logs, Telling now)
{
    const Call *call = call_of(logs, now);
    const State *state = &logs->told[now.file]->state;
    size_t at = (call->mark >> 20) & (logs->room - 1);
    for (; logs->first[at].file != FREE; at = (at + 1) & (logs->room - 1)) {
        const Call *other = call_of(logs, logs->first[at]);
        const State *its = &logs->told[logs->first[at].file]->state;
        if (other->mark == call->mark &&
            same(its, other->name, bytes_of(state, call->name), call->name.size))
            return logs->first[at];
    }
    return logs->first[at] = now;
}

/* Whether two tellings are surely of one request: both of the session, or both of a side
 * conversation; and whether their figures can be. */
static int is_alike(const Logs *logs, Telling one, Telling other)
{
    const Call *a = call_of(logs, one), *b = call_of(logs, other);
    const State *its = &logs->told[other.file]->state;
    if ((a->initiator == ASKED) != (b->initiator == ASKED) || GIVEN(a->turn) != GIVEN(b->turn))
        return 0;
    for (int n = N_INPUT; n <= N_REASONING; n++)
        if (a->numbers[n] >= PLAINEST || b->numbers[n] >= PLAINEST)
            return 0;
    return !GIVEN(a->turn) || same(&logs->told[one.file]->state, a->turn, bytes_of(its, b->turn),
                                   b->turn.size);
}

/* Find the groups of logs that tell of the same responses. */
static void group_logs(Logs *logs)
{
    for (uint32_t file = 0; file < logs->count; file++)
        for (uint32_t n = 0; n < CALL_COUNT(&logs->told[file]->state); n++) {
            Telling now = {file, n}, first = first_telling(logs, now);
            if (first.file == file)
                continue;
            call_of(logs, first)->shared = call_of(logs, now)->shared = 1;
            logs->above[group_of(logs, file)] = group_of(logs, first.file);
            logs->odd[file] |= !is_alike(logs, first, now);
        }
}

/* Let the log that tells of a response first have it, with the larger figures, as
 * `reconcile.larger` says; the others tell nothing of it. */
static void leave_out(Call *first, Call *again)
{
    int64_t *mine = first->numbers, *its = again->numbers;
    int64_t fresh = mine[N_INPUT] - mine[N_CACHED] - mine[N_WRITTEN];
    int64_t other = its[N_INPUT] - its[N_CACHED] - its[N_WRITTEN];
    for (int n = N_INPUT; n <= N_REASONING; n++)
        mine[n] = mine[n] > its[n] ? mine[n] : its[n];
    mine[N_INPUT] = (fresh > other ? fresh : other) + mine[N_CACHED] + mine[N_WRITTEN];
    first->hour = first->hour > again->hour ? first->hour : again->hour;
    again->tariff = REPEATED;
}
