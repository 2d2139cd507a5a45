/* A stub of NVIDIA's driver, libcuda.so.1: the functions that ops/cuda calls, on host memory.

   Everything enqueued waits in one queue until the host waits for it, unless stub_eager(1): the
   worst order of events that a real card may choose. Device addresses are checked, contexts are
   per thread, errors can be injected, and what is not given back is counted. A "cubin" is the text
   "stub entry:signature entry:signature ...", or a real one that a callback knows; launches go to a
   callback. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS, INVALID_VALUE = 1, NO_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_IMAGE = 200,
       INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600,
       ILLEGAL_ADDRESS = 700, CAPTURE_UNSUPPORTED = 900 };
enum { COPY, SET, LAUNCH, RECORD };
enum { WORDS = 64, ENTRY = 64, MOST = 1 << 16, STREAMS_AT_ONCE = 8 };
enum { ALLOCATIONS, PINNED, STREAMS, EVENTS, MODULES, GRAPHS, EXECUTABLES, CONTEXTS, COUNTS };

typedef struct { uint64_t ticket; int timing; double time; } Event;
typedef struct { char entry[ENTRY], signature[WORDS]; int shared, loaded; } Function;
typedef struct { Function functions[16]; int count, real; } Module;
typedef struct {
    int kind, value;
    uint64_t target, source, size;
    Event *event;
    Function *function;
    unsigned grid[3], threads, shared;
    int64_t words[WORDS];
} Operation;
typedef struct { Operation *operations; size_t count; } Graph;
typedef struct { int capturing; Graph captured; } Stream;
typedef void (*Callback)(const char *, const unsigned *, unsigned, unsigned, const int64_t *, int);
typedef void (*Know)(const char *image, char *name, char *signature); /* writes nothing: unknown */

static struct { uint64_t address, size; } blocks[MOST];
static int counts[COUNTS], eager, sticky, initialised, used, devices = 1;
static uint64_t free_bytes = 6ull << 30, total_bytes = 8ull << 30, tickets, done;
static Operation *queue;
static size_t queued, room;
static Stream *streams[STREAMS_AT_ONCE];
static Callback callback;
static Know know;
static char failing[64];
static int failing_code, failing_after;
static double now;
static char context_object;
static __thread void *current;

/* What the tests call. */
void stub_eager(int on) { eager = on; }
void stub_memory(uint64_t free_, uint64_t total) { free_bytes = free_, total_bytes = total; }
void stub_devices(int count) { devices = count; }
void stub_callback(Callback function) { callback = function; }
void stub_know(Know function) { know = function; }
void stub_fail(const char *call, int code, int after) {
    strncpy(failing, call, sizeof failing - 1), failing_code = code, failing_after = after;
}
int stub_count(int what) { return counts[what]; }
uint64_t stub_pending(void) { return tickets - done; }

static int is_sticky(int code) {
    return code == 214 || (code >= 700 && code <= 719) || code == 999;
}

/* The error with which the call of this name ends at once, or 0. */
static int refused(const char *call, int needs_context) {
    if (sticky) return sticky;
    if (!strcmp(call, failing) && failing_after-- <= 0) {
        int code = failing_code;
        failing[0] = 0;
        if (is_sticky(code)) sticky = code;
        return code;
    }
    if (!initialised) return NOT_INITIALIZED;
    return needs_context && current != &context_object ? INVALID_CONTEXT : 0;
}

#define BEGIN(context) int refusal = refused(__func__, context); if (refusal) return refusal
#define NOT_IN_CAPTURE if (capturing()) return CAPTURE_UNSUPPORTED

static int is_stream(const Stream *stream) {
    for (int n = 0; n < STREAMS_AT_ONCE; n++) if (stream && streams[n] == stream) return 1;
    return 0;
}

static int capturing(void) {
    for (int n = 0; n < STREAMS_AT_ONCE; n++)
        if (streams[n] && streams[n]->capturing) return 1;
    return 0;
}

static int on_card(uint64_t address, uint64_t size) {
    for (int n = 0; n < used; n++)
        if (blocks[n].address && address >= blocks[n].address
            && address + size <= blocks[n].address + blocks[n].size) return 1;
    return 0;
}

int stub_holds(uint64_t address, uint64_t size) { return on_card(address, size); }

static void run(const Operation *it) {
    now += 1e-3;
    if (it->kind == RECORD) { it->event->time = now; return; }
    if (it->kind == SET) memset((void *)it->target, it->value, it->size);
    if (it->kind == COPY) memmove((void *)it->target, (void *)it->source, it->size);
    if (it->kind == LAUNCH) {
        now += it->grid[0] * 1e-3;
        if (callback) callback(it->function->entry, it->grid, it->threads, it->shared, it->words,
                               (int)strlen(it->function->signature));
    }
}

static void drain(uint64_t until) {
    while (done < until && queued) {
        Operation first = queue[0];
        memmove(queue, queue + 1, --queued * sizeof *queue);
        done++;
        run(&first);
    }
}

static void append(Operation operation) {
    if (queued == room) queue = realloc(queue, (room = room * 2 + 16) * sizeof *queue);
    tickets++;
    if (operation.kind == RECORD) operation.event->ticket = tickets;
    queue[queued++] = operation;
    if (eager) drain(tickets);
}

static int enqueue(Stream *stream, Operation operation) {
    if (!is_stream(stream)) return INVALID_HANDLE;
    if (!stream->capturing) { append(operation); return 0; }
    Graph *graph = &stream->captured;
    graph->operations = realloc(graph->operations, (graph->count + 1) * sizeof operation);
    graph->operations[graph->count++] = operation;
    return 0;
}

static int enqueue_copy(Stream *stream, uint64_t target, uint64_t source, uint64_t size) {
    Operation copy = {.kind = COPY, .target = target, .source = source, .size = size};
    return enqueue(stream, copy);
}

/* The driver's functions, under the names that cuGetProcAddress_v2 is asked for; those that are
   not static are called by their names, too. */
int cuInit(unsigned flags) {
    if (!strcmp("cuInit", failing)) { failing[0] = 0; return failing_code; }
    initialised = 1;
    return flags ? INVALID_VALUE : 0;
}
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuDeviceGetCount(int *count) { BEGIN(0); *count = devices; return 0; }
int cuDeviceGet(int *device, int number) { BEGIN(0); *device = number; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    BEGIN(0);
    memset(name, 0, size);
    strncpy(name, "Stub GPU", size - 1);
    return device < 0;
}
static int cuDeviceGetUuid(unsigned char *uuid, int device) {
    BEGIN(0);
    for (int n = 0; n < 16; n++) uuid[n] = n;
    return device < 0;
}
int cuDeviceTotalMem_v2(size_t *total, int device) {
    BEGIN(0);
    *total = total_bytes;
    return device < 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    BEGIN(0);
    *value = attribute == 75 ? 8 : attribute == 76 ? 9 : attribute == 16 ? 128 : -1;
    return device < 0;
}
static int cuDevicePrimaryCtxRetain(void **context, int device) {
    BEGIN(0);
    *context = &context_object, counts[CONTEXTS]++;
    return device < 0;
}
static int cuDevicePrimaryCtxRelease(int device) { counts[CONTEXTS]--; return device < 0; }
static int cuCtxSetCurrent(void *context) {
    if (context) { BEGIN(0); }
    current = context;
    return 0;
}
static int cuMemGetInfo(size_t *free_, size_t *total) {
    BEGIN(1);
    *free_ = free_bytes, *total = total_bytes;
    return 0;
}
static int cuMemAlloc(uint64_t *address, size_t size) {
    BEGIN(1);
    NOT_IN_CAPTURE;
    if (!size) return INVALID_VALUE;
    if (size > free_bytes) return NO_MEMORY;
    for (int n = 0; n < MOST; n++) {
        if (blocks[n].address) continue;
        *address = (uint64_t)aligned_alloc(512, (size + 511) / 512 * 512);
        memset((void *)*address, 0xA5, size);
        blocks[n].address = *address, blocks[n].size = size;
        if (n >= used) used = n + 1;
        free_bytes -= size, counts[ALLOCATIONS]++;
        return 0;
    }
    return NO_MEMORY;
}
static int cuMemFree(uint64_t address) {
    BEGIN(1);
    if (queued) return sticky = ILLEGAL_ADDRESS; /* stricter than the driver, which waits */
    for (int n = 0; n < MOST; n++) {
        if (blocks[n].address != address) continue;
        free_bytes += blocks[n].size, blocks[n].address = 0, counts[ALLOCATIONS]--;
        free((void *)address);
        return 0;
    }
    return INVALID_VALUE;
}
static int cuMemHostAlloc(void **address, size_t size, unsigned flags) {
    BEGIN(1);
    NOT_IN_CAPTURE;
    *address = aligned_alloc(4096, (size + 4095) / 4096 * 4096), counts[PINNED]++;
    return (int)flags;
}
static int cuMemFreeHost(void *address) { BEGIN(1); free(address), counts[PINNED]--; return 0; }
static int cuStreamCreate(Stream **stream, unsigned flags) {
    BEGIN(1);
    if (flags != 1) return INVALID_VALUE;
    for (int n = 0; n < STREAMS_AT_ONCE; n++) {
        if (streams[n]) continue;
        *stream = streams[n] = calloc(1, sizeof **stream), counts[STREAMS]++;
        return 0;
    }
    return NO_MEMORY;
}
static int cuStreamDestroy(Stream *stream) {
    BEGIN(1);
    drain(tickets);
    for (int n = 0; n < STREAMS_AT_ONCE; n++) if (streams[n] == stream) streams[n] = NULL;
    free(stream), counts[STREAMS]--;
    return 0;
}
static int cuStreamSynchronize(Stream *stream) {
    BEGIN(1);
    if (!is_stream(stream)) return INVALID_HANDLE;
    NOT_IN_CAPTURE;
    drain(tickets);
    return 0;
}
static int cuMemcpyHtoDAsync(uint64_t target, void *source, size_t size, Stream *stream) {
    BEGIN(1);
    if (!on_card(target, size)) return sticky = ILLEGAL_ADDRESS;
    return enqueue_copy(stream, target, (uint64_t)source, size);
}
static int cuMemcpyDtoHAsync(void *target, uint64_t source, size_t size, Stream *stream) {
    BEGIN(1);
    if (!on_card(source, size)) return sticky = ILLEGAL_ADDRESS;
    return enqueue_copy(stream, (uint64_t)target, source, size);
}
static int cuMemcpyDtoDAsync(uint64_t target, uint64_t source, size_t size, Stream *stream) {
    BEGIN(1);
    if (!on_card(source, size) || !on_card(target, size)) return sticky = ILLEGAL_ADDRESS;
    return enqueue_copy(stream, target, source, size);
}
static int cuMemsetD8Async(uint64_t target, unsigned char value, size_t size, Stream *stream) {
    BEGIN(1);
    if (!on_card(target, size)) return sticky = ILLEGAL_ADDRESS;
    Operation set = {.kind = SET, .target = target, .size = size, .value = value};
    return enqueue(stream, set);
}
static int cuEventCreate(Event **event, unsigned flags) {
    BEGIN(1);
    *event = calloc(1, sizeof **event), (*event)->timing = !(flags & 2), counts[EVENTS]++;
    return 0;
}
static int cuEventDestroy(Event *event) { BEGIN(1); free(event), counts[EVENTS]--; return 0; }
static int cuEventRecordWithFlags(Event *event, Stream *stream, unsigned flags) {
    BEGIN(1);
    if ((int)flags != stream->capturing) return INVALID_VALUE;
    return enqueue(stream, (Operation){.kind = RECORD, .event = event});
}
static int cuEventRecord(Event *event, Stream *stream) {
    BEGIN(1);
    return enqueue(stream, (Operation){.kind = RECORD, .event = event});
}
static int cuEventSynchronize(Event *event) {
    BEGIN(1);
    NOT_IN_CAPTURE;
    drain(event->ticket);
    return 0;
}
static int cuEventElapsedTime(float *milliseconds, Event *start, Event *end) {
    BEGIN(1);
    if (!start->timing || !end->timing) return INVALID_HANDLE;
    if (start->ticket > done || end->ticket > done) return NOT_READY;
    *milliseconds = (float)((end->time - start->time) * 1e3);
    return 0;
}
static int cuModuleLoadData(Module **module, const char *image) {
    BEGIN(1);
    NOT_IN_CAPTURE;
    Module *made = calloc(1, sizeof *made);
    if (know && !memcmp(image, "\177ELF", 4)) {
        Function *only = &made->functions[0];
        only->shared = 48 << 10, made->real = 1;
        know(image, only->entry, only->signature);
    }
    if (made->real ? !made->functions[0].entry[0] : strncmp(image, "stub ", 5)) {
        free(made);
        return INVALID_IMAGE;
    }
    *module = made, counts[MODULES]++;
    if (made->real) return 0;
    char *text = strdup(image + 5), *rest = text, *word;
    while ((word = strsep(&rest, " ")) != NULL) {
        Function *function = &(*module)->functions[(*module)->count++];
        char *entry = strsep(&word, ":");
        strncpy(function->entry, entry, ENTRY - 1), strncpy(function->signature, word, WORDS - 1);
        function->shared = 48 << 10;
    }
    free(text);
    return 0;
}
static int cuModuleUnload(Module *module) { BEGIN(1); free(module), counts[MODULES]--; return 0; }
static int cuModuleGetFunction(Function **function, Module *module, const char *entry) {
    BEGIN(1);
    if (module->real) { /* it has one */
        *function = &module->functions[0];
        return 0;
    }
    for (int n = 0; n < module->count; n++)
        if (!strcmp(module->functions[n].entry, entry)) {
            *function = &module->functions[n];
            return 0;
        }
    return NOT_FOUND;
}
static int cuFuncLoad(Function *function) { BEGIN(1); function->loaded = 1; return 0; }
static int cuFuncGetAttribute(int *value, int attribute, Function *function) {
    BEGIN(1);
    *value = function->shared;
    return attribute == 8 ? 0 : INVALID_VALUE;
}
static int cuFuncSetAttribute(Function *function, int attribute, int value) {
    BEGIN(1);
    NOT_IN_CAPTURE;
    if (attribute != 8 || value > 99 << 10) return INVALID_VALUE;
    function->shared = value;
    return 0;
}
static int cuLaunchKernel(Function *function, unsigned x, unsigned y, unsigned z, unsigned threads,
                          unsigned threads_y, unsigned threads_z, unsigned shared, Stream *stream,
                          void **operands, void **extra) {
    BEGIN(1);
    if (!function->loaded || extra || threads_y != 1 || threads_z != 1) return INVALID_VALUE;
    if (!x || !y || !z || threads > 1024 || (int)shared > function->shared) return INVALID_VALUE;
    Operation launch = {.kind = LAUNCH, .function = function, .grid = {x, y, z},
                        .threads = threads, .shared = shared};
    for (int n = 0; function->signature[n]; n++)
        memcpy(&launch.words[n], operands[n], function->signature[n] == 'l' ? 8 : 4);
    return enqueue(stream, launch);
}
static int cuStreamBeginCapture(Stream *stream, int mode) {
    BEGIN(1);
    if (stream->capturing || mode != 1) return INVALID_VALUE;
    stream->capturing = 1, stream->captured = (Graph){0};
    return 0;
}
static int cuStreamEndCapture(Stream *stream, Graph **graph) {
    BEGIN(1);
    if (!stream->capturing) return 901;
    *graph = malloc(sizeof **graph), **graph = stream->captured, counts[GRAPHS]++;
    stream->capturing = 0;
    return 0;
}
static int cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, uint64_t flags) {
    BEGIN(1);
    *executable = malloc(sizeof **executable), counts[EXECUTABLES]++;
    size_t bytes = graph->count * sizeof(Operation);
    (*executable)->count = graph->count;
    (*executable)->operations = memcpy(malloc(bytes + 1), graph->operations, bytes);
    return (int)flags;
}
static int free_graph(Graph *graph, int kind) {
    free(graph->operations), free(graph), counts[kind]--;
    return 0;
}
static int cuGraphDestroy(Graph *graph) { BEGIN(1); return free_graph(graph, GRAPHS); }
static int cuGraphExecDestroy(Graph *graph) { BEGIN(1); return free_graph(graph, EXECUTABLES); }
static int cuGraphLaunch(Graph *executable, Stream *stream) {
    BEGIN(1);
    if (!is_stream(stream) || stream->capturing) return INVALID_HANDLE;
    for (size_t n = 0; n < executable->count; n++) append(executable->operations[n]);
    return 0;
}

int cuGetProcAddress_v2(const char *, void **, int, uint64_t, int *);

#define NAMED(name) {#name, (void *)name}
static const struct { const char *name; void *function; } table[] = {
    NAMED(cuInit), NAMED(cuDriverGetVersion), NAMED(cuDeviceGetCount), NAMED(cuDeviceGet),
    NAMED(cuDeviceGetName), NAMED(cuDeviceGetUuid), NAMED(cuDeviceGetAttribute),
    NAMED(cuDevicePrimaryCtxRetain), NAMED(cuDevicePrimaryCtxRelease), NAMED(cuCtxSetCurrent),
    NAMED(cuMemGetInfo), NAMED(cuMemAlloc), NAMED(cuMemFree), NAMED(cuMemHostAlloc),
    NAMED(cuMemFreeHost), NAMED(cuStreamCreate), NAMED(cuStreamDestroy),
    NAMED(cuStreamSynchronize), NAMED(cuMemcpyHtoDAsync), NAMED(cuMemcpyDtoHAsync),
    NAMED(cuMemcpyDtoDAsync), NAMED(cuMemsetD8Async), NAMED(cuEventCreate), NAMED(cuEventDestroy),
    NAMED(cuEventRecord), NAMED(cuEventRecordWithFlags), NAMED(cuEventSynchronize),
    NAMED(cuEventElapsedTime), NAMED(cuModuleLoadData), NAMED(cuModuleUnload),
    NAMED(cuModuleGetFunction), NAMED(cuFuncLoad), NAMED(cuFuncGetAttribute),
    NAMED(cuFuncSetAttribute), NAMED(cuLaunchKernel), NAMED(cuStreamBeginCapture),
    NAMED(cuStreamEndCapture), NAMED(cuGraphInstantiateWithFlags), NAMED(cuGraphDestroy),
    NAMED(cuGraphExecDestroy), NAMED(cuGraphLaunch),
    {"cuGetProcAddress", (void *)cuGetProcAddress_v2},
};

/* cuda-bindings looks every function up here, by its plain name, at the first call of any. */
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags,
                        int *status) {
    (void)version, (void)flags;
    *function = NULL;
    for (size_t n = 0; n < sizeof table / sizeof *table; n++)
        if (!strcmp(table[n].name, name)) *function = table[n].function;
    if (status) *status = !*function;
    return *function ? 0 : NOT_FOUND;
}
