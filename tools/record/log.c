#define _GNU_SOURCE
#include "tools/record/log.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tools/record/clock.h"
#include "tools/record/next.h"
#include "tools/record/stack.h"

/* What `osmem record` says: "stacks:BYTES,clock:NAME,file:PATH", the path last and as it is. */
#define VARIABLE "OSMEM_RECORD="

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { POOL_MOST = 128, ENVIRONMENT_MOST = 256 * 1024 };

/* The page that is wiped in a child. */
struct process {
    struct log_process shown;
    int lock;
    bool off; /* recording is not wanted, or no longer possible */
    uint32_t threads;
    uint32_t chunks;
    uint32_t pooled;
    dev_t device; /* the file is this one, whatever is at its path later */
    ino_t inode;
    struct trace_header *header;
};

/* How it was asked for; stays the same in a child. */
static struct {
    bool read;
    bool wanted;
    uint64_t sample_bytes;
    uint32_t clock;
    char path[TRACE_PATH_MOST];
} conf;

static struct process nothing; /* before the first event */
static struct process *process = &nothing;
static uint64_t generations;             /* a child counts on from its parent's */
static char path[TRACE_PATH_MOST + 64];  /* of this process's file */
static struct log_place pool[POOL_MOST]; /* chunks that ended threads have left */
static pthread_key_t thread_end;
static bool has_thread_end;

struct log_process *log_process = &nothing.shown;
__thread struct log log_own;

static void lock_take(void) {
    while (__atomic_exchange_n(&process->lock, 1, __ATOMIC_ACQUIRE) != 0)
        sched_yield();
}

static void lock_release(void) { __atomic_store_n(&process->lock, 0, __ATOMIC_RELEASE); }

/* ---- system calls, none of which is a point where a thread may be cancelled --------------------
 */

static int file_open(const char *name, int flags) {
    return (int)syscall(SYS_openat, AT_FDCWD, name, flags | O_CLOEXEC | O_NOCTTY, 0600);
}

static void file_close(int file) { syscall(SYS_close, file); }

static size_t file_read(const char *name, char *out, size_t size) {
    const int file = file_open(name, O_RDONLY);
    if (file < 0)
        return 0;
    size_t length = 0;
    for (long count; length < size; length += (size_t)count) {
        count = syscall(SYS_read, file, out + length, size - length);
        if (count <= 0)
            break;
    }
    file_close(file);
    return length;
}

/* Space that is really there: without it a write through the mapping would kill the program. Zeros
 * that are written cost a quarter of the page faults on space that is only reserved. */
static bool file_extend(int file, uint64_t offset, uint64_t bytes) {
    static const char zeros[TRACE_CHUNK_LEAST];
    struct iovec parts[TRACE_CHUNK_MOST / TRACE_CHUNK_LEAST];
    const size_t count = bytes / sizeof zeros;
    for (size_t i = 0; i < count; i++)
        parts[i] = (struct iovec){(void *)(uintptr_t)zeros, sizeof zeros};
    const long written = syscall(SYS_pwritev, file, parts, count, offset, 0);
    if (written >= 0 && (uint64_t)written < bytes)
        errno = ENOSPC;
    return written >= 0 && (uint64_t)written == bytes;
}

static void *file_map(int file, uint64_t offset, uint64_t bytes) {
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)offset);
    if (map == MAP_FAILED)
        return NULL;
    /* All page faults at once; kernels before 5.14 take them one by one. */
    if (bytes == TRACE_CHUNK_MOST)
        madvise(map, bytes, MADV_POPULATE_WRITE);
    return map;
}

/* The file of this process, or -1 when it is not there any more or cannot be opened. */
static int file_reopen(void) {
    const int file = file_open(path, O_RDWR);
    struct stat status;
    if (file < 0)
        return -1;
    if (fstat(file, &status) == 0 && status.st_dev == process->device &&
        status.st_ino == process->inode)
        return file;
    file_close(file);
    errno = ESTALE;
    return -1;
}

/* ---- how it was asked for ----------------------------------------------------------------------
 */

static void conf_parse(const char *text) {
    static const char STACKS[] = "stacks:", CLOCK[] = "clock:monotonic,", FILE_NAME[] = "file:";
    if (strncmp(text, STACKS, sizeof STACKS - 1) == 0) {
        char *end;
        conf.sample_bytes = strtoull(text + sizeof STACKS - 1, &end, 10);
        text = *end == ',' ? end + 1 : end;
    }
    conf.clock = clock_best();
    if (strncmp(text, CLOCK, sizeof CLOCK - 1) == 0) {
        conf.clock = TRACE_CLOCK_MONOTONIC;
        text += sizeof CLOCK - 1;
    }
    if (strncmp(text, FILE_NAME, sizeof FILE_NAME - 1) != 0)
        return;
    text += sizeof FILE_NAME - 1;
    if (strlen(text) >= sizeof conf.path)
        return;
    strcpy(conf.path, text);
    conf.wanted = conf.path[0] == '/';
}

/* From the kernel: the dynamic linker allocates before the C library knows the environment. */
static void conf_read(void) {
    if (conf.read)
        return;
    conf.read = true;
    char *text =
        mmap(NULL, ENVIRONMENT_MOST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (text == MAP_FAILED)
        return;
    const size_t length = file_read("/proc/self/environ", text, ENVIRONMENT_MOST - 1);
    for (size_t at = 0; at < length; at += strlen(text + at) + 1) {
        if (strncmp(text + at, VARIABLE, sizeof VARIABLE - 1) == 0)
            conf_parse(text + at + sizeof VARIABLE - 1);
    }
    munmap(text, ENVIRONMENT_MOST);
    if (getauxval(AT_SECURE) != 0)
        conf.wanted = false;
}

/* ---- the file ----------------------------------------------------------------------------------
 */

static char *put_number(char *out, uint64_t value) {
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0)
        *out++ = digits[--count];
    *out = '\0';
    return out;
}

/* PATH, or if another process has it PATH.PID, or PATH.PID.2 … after each exec. */
static int file_create(uint32_t pid) {
    strcpy(path, conf.path);
    char *end = path + strlen(path);
    int file = file_open(path, O_RDWR | O_CREAT | O_EXCL);
    for (uint64_t number = 1; file < 0 && errno == EEXIST && number < 1000; number++) {
        *end = '.';
        char *tail = put_number(end + 1, pid);
        if (number > 1) {
            *tail = '.';
            put_number(tail + 1, number);
        }
        file = file_open(path, O_RDWR | O_CREAT | O_EXCL);
    }
    return file;
}

static void copy_text(char *out, size_t size, const char *text) {
    size_t length = strlen(text);
    memcpy(out, text, length < size ? length : size - 1);
}

static void header_fill(struct trace_header *header, uint32_t pid) {
    header->version = TRACE_VERSION;
    header->header_bytes = TRACE_HEADER_BYTES;
    header->pid = pid;
    header->parent = (uint32_t)syscall(SYS_getppid);
    header->clock = conf.clock;
    header->page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
    header->ticks = header->last_ticks = clock_now();
    header->monotonic = header->last_monotonic = clock_nanoseconds();
    header->realtime = clock_realtime();
    header->sample_bytes = conf.sample_bytes;
    header->break_start = (uint64_t)(uintptr_t)sbrk(0);
    (void)!readlink("/proc/self/exe", header->program, sizeof header->program - 1);
    Dl_info info;
    if (dladdr(next_malloc_address(), &info) != 0 && info.dli_fname != NULL)
        copy_text(header->allocator, sizeof header->allocator, info.dli_fname);
    file_read("/proc/self/cmdline", header->command, sizeof header->command - 1);
    header->checksum = trace_checksum(&header->pid, offsetof(struct trace_header, end) -
                                                        offsetof(struct trace_header, pid));
    header->end = TRACE_HEADER_BYTES;
    /* Last: without it this is no trace. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    memcpy(header->magic, TRACE_MAGIC, sizeof header->magic);
}

static bool file_begin(void) {
    const uint32_t pid = (uint32_t)syscall(SYS_getpid);
    const int file = file_create(pid);
    if (file < 0)
        return false;
    struct stat status;
    if (fstat(file, &status) == 0 && file_extend(file, 0, TRACE_HEADER_BYTES)) {
        process->device = status.st_dev;
        process->inode = status.st_ino;
        process->header = file_map(file, 0, TRACE_HEADER_BYTES);
    }
    file_close(file);
    if (process->header == NULL)
        return false;
    header_fill(process->header, pid);
    return true;
}

/* The file stays as it is from here on. */
static void stop(int reason) {
    if (process->header != NULL)
        process->header->stopped = (uint32_t)reason;
    process->off = true;
}

/* ---- chunks ------------------------------------------------------------------------------------
 */

static void place_close(struct log_place *place) {
    struct trace_chunk *chunk = place->chunk;
    const uint64_t bytes = chunk->bytes;
    chunk->checksum = trace_checksum(chunk + 1, chunk->length);
    munmap(chunk, bytes);
    *place = (struct log_place){0};
}

static void chunk_guard(struct trace_chunk *chunk) {
    chunk->guard = trace_checksum(chunk, offsetof(struct trace_chunk, guard));
}

/* Fewer system calls for threads that allocate much, little space for those that do not. */
static size_t next_chunk_bytes(void) {
    size_t bytes = log_own.chunk_bytes;
    log_own.chunk_bytes = bytes < TRACE_CHUNK_MOST ? 2 * bytes : bytes;
    return bytes;
}

/* Under the lock: the end of the file is never without a chunk's header. */
static bool place_new(struct log_place *place) {
    struct trace_header *header = process->header;
    const size_t bytes = next_chunk_bytes();
    const int file = file_reopen();
    struct trace_chunk *chunk = NULL;
    if (file >= 0 && file_extend(file, header->end, bytes))
        chunk = file_map(file, header->end, bytes);
    const int reason = errno;
    if (file >= 0)
        file_close(file);
    if (chunk == NULL) {
        stop(reason);
        return false;
    }
    chunk->magic = TRACE_CHUNK_MAGIC;
    chunk->sequence = process->chunks++;
    chunk->bytes = bytes;
    chunk->time = clock_now();
    chunk_guard(chunk);
    header->last_ticks = chunk->time;
    header->last_monotonic = clock_nanoseconds();
    __atomic_store_n(&header->end, header->end + bytes, __ATOMIC_RELEASE);
    *place = (struct log_place){
        .chunk = chunk,
        .cursor = (uint8_t *)(chunk + 1),
        .limit = (uint8_t *)chunk + bytes - TRACE_EVENT_MOST,
        .time = chunk->time,
    };
    return true;
}

/* If it is the last one of the file, gives what it does not need of it back. */
static void chunk_trim(struct trace_chunk *chunk) {
    struct trace_header *header = process->header;
    const uint64_t needed = (sizeof *chunk + chunk->length + TRACE_CHUNK_LEAST - 1) /
                            TRACE_CHUNK_LEAST * TRACE_CHUNK_LEAST;
    if (chunk->sequence + 1 != process->chunks || needed == chunk->bytes)
        return;
    const int file = file_reopen();
    if (file < 0)
        return;
    munmap((char *)chunk + needed, chunk->bytes - needed);
    header->end -= chunk->bytes - needed;
    chunk->bytes = needed;
    chunk_guard(chunk);
    (void)!syscall(SYS_ftruncate, file, header->end);
    file_close(file);
}

static bool has_bytes(const struct log_place *place, size_t bytes) {
    return place->cursor != NULL &&
           (size_t)(place->limit + TRACE_EVENT_MOST - place->cursor) >= bytes;
}

static bool place_from_pool(struct log_place *place, size_t bytes) {
    for (uint32_t i = 0; i < process->pooled; i++) {
        /* With more room than the record that says whose it is. */
        if (!has_bytes(&pool[i], bytes + TRACE_EVENT_MOST))
            continue;
        *place = pool[i];
        pool[i] = pool[--process->pooled];
        return true;
    }
    return false;
}

static void put_thread(void) {
    uint8_t *cursor = log_own.place.cursor;
    *cursor++ = TRACE_THREAD;
    cursor = trace_put(cursor, log_own.thread);
    cursor = trace_put(cursor, (uint64_t)syscall(SYS_gettid));
    log_commit(cursor);
}

static bool attach(size_t bytes) {
    struct log *log = &log_own;
    lock_take();
    if (!log->numbered) {
        log->numbered = true;
        log->thread = process->threads++;
        log->chunk_bytes = TRACE_CHUNK_LEAST;
        log->random = 0x9e3779b97f4a7c15u * (log->thread + 1);
        stack_next_sample(log, process->shown.sample_bytes);
    }
    const bool done = place_from_pool(&log->place, bytes) || place_new(&log->place);
    lock_release();
    if (!done)
        return false;
    if (has_thread_end)
        pthread_setspecific(thread_end, log);
    put_thread();
    return true;
}

/* ---- begin and end -----------------------------------------------------------------------------
 */

/* The thread leaves its chunk to another one. If it allocates again, it takes one again. */
static void detach(void *of_thread) {
    struct log *log = of_thread;
    if (log->generation != process->shown.generation || log->place.chunk == NULL)
        return;
    const int kept = errno;
    log->busy = true;
    lock_take();
    if (process->pooled < POOL_MOST)
        pool[process->pooled++] = log->place;
    else
        place_close(&log->place);
    log->place = (struct log_place){0};
    lock_release();
    log->busy = false;
    errno = kept;
}

static struct process *process_page(void) {
    const size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, size, MADV_WIPEONFORK) != 0) { /* Linux before 4.14 */
        munmap(page, size);
        return NULL;
    }
    return page;
}

/* By the first allocation of a process: there is but one thread. */
static void begin(void) {
    conf_read();
    if (process == &nothing) {
        struct process *page = conf.wanted ? process_page() : NULL;
        if (page == NULL) {
            nothing.off = true;
            return;
        }
        process = page;
        log_process = &page->shown;
        has_thread_end = pthread_key_create(&thread_end, detach) == 0;
    }
    process->shown.clock = conf.clock;
    process->shown.sample_bytes = conf.sample_bytes;
    stack_reset();
    if (!file_begin())
        process->off = true;
    process->shown.generation = ++generations;
}

static bool log_room_slow(size_t bytes) {
    struct log *log = &log_own;
    if (process->off)
        return false;
    if (process->shown.generation == 0)
        begin();
    if (log->generation != process->shown.generation) {
        /* A chunk from before the fork is the parent's. */
        if (log->place.chunk != NULL)
            munmap(log->place.chunk, log->place.chunk->bytes);
        *log = (struct log){.generation = process->shown.generation, .busy = true};
    }
    if (process->off)
        return false;
    if (log->place.chunk != NULL)
        place_close(&log->place);
    return attach(bytes);
}

bool log_room(size_t bytes) {
    if (log_own.generation == log_process->generation && has_bytes(&log_own.place, bytes))
        return true;
    const int kept = errno;
    const bool done = log_room_slow(bytes);
    errno = kept;
    return done;
}

void log_lost(void) {
    if (process->header != NULL)
        __atomic_fetch_add(&process->header->lost, 1, __ATOMIC_RELAXED);
}

/*
 * The program ends in an orderly way, and after all that it wanted to be done at its end: chunks
 * that no other thread is writing are closed. What may still come goes into new ones.
 */
__attribute__((destructor(101))) static void finish(void) {
    if (process->header == NULL || log_own.generation != process->shown.generation)
        return;
    const int kept = errno;
    log_own.busy = true;
    lock_take();
    while (process->pooled > 0)
        place_close(&pool[--process->pooled]);
    if (log_own.place.chunk != NULL) {
        chunk_trim(log_own.place.chunk);
        place_close(&log_own.place);
    }
    log_own.chunk_bytes = TRACE_CHUNK_LEAST;
    process->header->last_ticks = clock_now();
    process->header->last_monotonic = clock_nanoseconds();
    process->header->finished = 1;
    lock_release();
    log_own.busy = false;
    errno = kept;
}
