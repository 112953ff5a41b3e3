#include "osmem/heaps.h"

#include <errno.h>
#include <string.h>

#include "osmem/check.h"
#include "osmem/conf.h"
#include "osmem/heap.h"
#include "osmem/live.h"
#include "osmem/mapped.h"
#include "osmem/purge.h"
#include "osmem/slack.h"
#include "utils/die.h"
#include "utils/printf.h"

static_assert(REGION_BYTES <= OS_HEAP_ALIGNMENT, "memory at this alignment begins a region");
static_assert(REGION_FIRST * GRANULE_BYTES <= OS_HEAP_OVERHEAD,
              "a region's header is this at most");

/* What a request is for: a new block, or one that `ptr` is to become. */
struct request {
    const char *function;
    void *ptr; /* NULL: none */
    size_t size, alignment;
    bool zeroed; /* the block reads as zero */
};

/* ---- handles and pointers ----------------------------------------------------------------------
 */

/* What `handle` stands for; dies where that is no live heap. */
static struct own *own_of(const char *function, struct os_heap *handle) {
    struct heap *heap = (struct heap *)handle;
    if (unlikely(heap == NULL || region_owner(heap) != heap || heap->own == NULL))
        die_block(function, handle, "is no heap");
    return heap->own;
}

struct own *heaps_lock(const char *function, struct os_heap *handle) {
    struct own *own = own_of(function, handle);
    system_lock(&own->lock);
    return own;
}

static struct own *owner_of(const void *ptr) {
    const struct heap *heap = region_owner(ptr);
    return heap != NULL ? heap->own : mapped_owner(ptr);
}

/* Dies. `ptr` is no live block of the heap that it was given to. */
static _Noreturn void die_elsewhere(const char *function, const void *ptr) {
    bool is_live = region_owner(ptr) != NULL ? is_in_use(ptr) && !thread_freed_remotely(ptr)
                                             : mapped_size(ptr) != 0;
    const struct own *owner = owner_of(ptr);
    char fact[sizeof owner->name + 32];
    if (!is_live)
        die_misused(function, ptr);
    if (owner == NULL || owner->name[0] == '\0')
        die_block(function, ptr, "belongs to another heap");
    os_snprintf(fact, sizeof fact, "belongs to the heap %s", owner->name);
    die_block(function, ptr, fact);
}

/* Bytes of the live block at `ptr`, which must be of `own`. */
static size_t size_of(const char *function, const struct own *own, const void *ptr) {
    if (unlikely(owner_of(ptr) != own))
        die_elsewhere(function, ptr);
    return region_owner(ptr) != NULL ? granules_bytes(heap_block_size(function, ptr))
                                     : mapped_size(ptr);
}

/* In builds that check after every operation. Under the lock. */
static void paranoid(const struct own *own) {
    enum invariant broken = OSMEM_PARANOID ? check_heap(own->heap) : 0;
    if (broken != 0)
        die_internal(check_text(broken));
}

/* ---- allocation, all under the lock ------------------------------------------------------------
 */

static void *take_mapped(struct own *own, struct request *request) {
    size_t length = align_up(request->size, system_page());
    if (own->is_lent || length < request->size || length > own_allowance(own))
        return NULL;
    return mapped_allocate_owned(own, request->size, request->alignment, &request->zeroed);
}

static void *take_in_regions(struct own *own, struct request *request) {
    size_t granules = granules_for(request->size);
    if (granules > REGION_CAPACITY || request->alignment > REGION_BYTES / 2)
        return NULL;
    void *block = thread_allocate_own(own->heap, granules, request->alignment);
    request->zeroed = block != NULL && own->heap->zeroed;
    if (block != NULL && conf.requested)
        slack_note(block, granules, request->size);
    return block;
}

/* What a cap or the kernel refuses to map may fit a region. */
static void *take(struct own *own, struct request *request) {
    bool is_small = request->size < MMAP_THRESHOLD && request->alignment <= MMAP_THRESHOLD / 2;
    void *block = is_small ? NULL : take_mapped(own, request);
    return block != NULL ? block : take_in_regions(own, request);
}

/* ---- freeing and resizing, all under the lock --------------------------------------------------
 */

/* `size` as size_of() tells. */
static void drop(struct own *own, void *ptr, size_t size) {
    if (region_owner(ptr) != NULL)
        heap_free(own->heap, ptr, size / GRANULE_BYTES);
    else
        mapped_free(ptr);
}

static void *resize_in_region(struct own *own, const struct request *request, size_t old) {
    size_t wanted = granules_for(request->size);
    if (wanted > REGION_CAPACITY ||
        !heap_resize(own->heap, request->ptr, old / GRANULE_BYTES, wanted))
        return NULL;
    if (conf.requested)
        slack_note(request->ptr, wanted, request->size);
    return request->ptr;
}

/* May move the block, but not off its pages. */
static void *resize_mapped(struct own *own, const struct request *request, size_t old) {
    size_t length = align_up(request->size, system_page());
    bool stays_mapped =
        request->size >= MMAP_THRESHOLD && (length <= old || length - old <= own_allowance(own));
    return mapped_resize(request->ptr, request->size, stays_mapped, &old);
}

static void *move(struct own *own, struct request *request, size_t old) {
    void *block = take(own, request);
    if (block != NULL) {
        memcpy(block, request->ptr, size_min(old, request->size));
        drop(own, request->ptr, old);
    } else if (request->size <= old && region_owner(request->ptr) == NULL) {
        /* It can always stay where it is and be smaller. */
        mapped_note_requested(request->ptr, request->size);
        block = request->ptr;
    }
    return block;
}

static void *resize(struct own *own, struct request *request) {
    size_t old = size_of(request->function, own, request->ptr);
    void *block = region_owner(request->ptr) != NULL ? resize_in_region(own, request, old)
                                                     : resize_mapped(own, request, old);
    return block != NULL ? block : move(own, request, old);
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static void *attempt(struct own *own, struct request *request) {
    system_lock(&own->lock);
    void *block = request->ptr != NULL ? resize(own, request) : take(own, request);
    paranoid(own);
    system_unlock(&own->lock);
    return block;
}

/* Whether the callback made room that may do. */
static bool made_room(const struct own *own, size_t size) {
    return own->exhausted != NULL && size <= own->cap &&
           own->exhausted((struct os_heap *)own->heap, size, own->context);
}

static void *serve(struct own *own, struct request *request) {
    void *block = NULL;
    if (request->size <= PTRDIFF_MAX && request->alignment <= PTRDIFF_MAX) {
        block = attempt(own, request);
        if (unlikely(block == NULL) && made_room(own, request->size))
            block = attempt(own, request);
    }
    if (block == NULL)
        errno = ENOMEM;
    return block;
}

void *heaps_resize(const char *function, struct own *own, void *ptr, size_t size) {
    struct request request = {function, ptr, size, GRANULE_BYTES, false};
    return serve(own, &request);
}

void *os_heap_malloc(struct os_heap *heap, size_t size) {
    struct own *own = own_of("heap_malloc", heap);
    struct request request = {"heap_malloc", NULL, size, GRANULE_BYTES, false};
    return size == 0 ? NULL : serve(own, &request);
}

void *os_heap_calloc(struct os_heap *heap, size_t count, size_t size) {
    struct own *own = own_of("heap_calloc", heap);
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        total = SIZE_MAX;
    struct request request = {"heap_calloc", NULL, total, GRANULE_BYTES, false};
    void *block = total == 0 ? NULL : serve(own, &request);
    return block == NULL || request.zeroed ? block : memset(block, 0, total);
}

void *os_heap_aligned_alloc(struct os_heap *heap, size_t alignment, size_t size) {
    struct own *own = own_of("heap_aligned_alloc", heap);
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    struct request request = {"heap_aligned_alloc", NULL, size, size_max(alignment, GRANULE_BYTES),
                              false};
    return size == 0 ? NULL : serve(own, &request);
}

static void release(const char *function, struct own *own, void *ptr) {
    system_lock(&own->lock);
    drop(own, ptr, size_of(function, own, ptr));
    paranoid(own);
    system_unlock(&own->lock);
}

void os_heap_free(struct os_heap *heap, void *ptr) {
    struct own *own = own_of("heap_free", heap);
    if (ptr != NULL)
        release("heap_free", own, ptr);
}

void *os_heap_realloc(struct os_heap *heap, void *ptr, size_t size) {
    struct own *own = own_of("heap_realloc", heap);
    if (ptr == NULL)
        return os_heap_malloc(heap, size);
    if (size == 0) {
        release("heap_realloc", own, ptr);
        return NULL;
    }
    return heaps_resize("heap_realloc", own, ptr, size);
}

size_t os_heap_malloc_usable_size(struct os_heap *heap, void *ptr) {
    const struct own *own = own_of("heap_malloc_usable_size", heap);
    return ptr == NULL ? 0 : size_of("heap_malloc_usable_size", own, ptr);
}

/* ---- creation and destruction ------------------------------------------------------------------
 */

/* Whether there are such options. */
static bool is_valid(const struct os_heap_options *options) {
    uintptr_t memory = (uintptr_t)options->memory;
    return options->size == sizeof *options &&
           (memory != 0 ? memory + options->memory_size > memory : options->memory_size == 0);
}

static void lend(struct own *own, const struct os_heap_options *options) {
    uintptr_t memory = (uintptr_t)options->memory;
    own->is_lent = memory != 0;
    own->is_zero = options->memory_is_zero;
    own->lent = align_up(memory, REGION_BYTES);
    own->lent_end = align_down(memory + options->memory_size, GRANULE_BYTES);
}

/* Whether a region can be made of what is lent. */
static bool is_lent_enough(const struct own *own) {
    return own->lent < own->lent_end && own->lent_end - own->lent > granules_bytes(REGION_FIRST) &&
           region_owner((const void *)own->lent) == NULL;
}

struct os_heap *os_heap_create(const struct os_heap_options *options) {
    static const struct os_heap_options defaults = {.size = sizeof defaults};
    struct own draft = {.cap = SIZE_MAX};
    if (options == NULL)
        options = &defaults;
    lend(&draft, options);
    if (!is_valid(options) || (draft.is_lent && !is_lent_enough(&draft))) {
        errno = EINVAL;
        return NULL;
    }
    draft.cap = options->cap != 0 ? options->cap : SIZE_MAX;
    draft.exhausted = options->exhausted;
    draft.context = options->context;
    if (options->name != NULL)
        os_snprintf(draft.name, sizeof draft.name, "%s", options->name);
    thread_prepare();
    thread_read_conf();
    struct heap *heap = own_create(&draft);
    if (heap == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    thread_enter_own(heap);
    return (struct os_heap *)heap;
}

void os_heap_destroy(struct os_heap *heap) {
    if (heap == NULL)
        return;
    struct own *own = own_of("heap_destroy", heap);
    thread_leave_own(own->heap);
    own_destroy(own);
}

int os_heap_trim(struct os_heap *heap, size_t pad) {
    struct own *own = heaps_lock("heap_trim", heap);
    thread_take_in(own->heap);
    bool any = !own->is_lent && purge_all(own->heap, pad);
    paranoid(own);
    system_unlock(&own->lock);
    return any;
}

const char *os_heap_name(struct os_heap *heap) { return own_of("heap_name", heap)->name; }

/* ---- what there is -----------------------------------------------------------------------------
 */

size_t os_heap_number(struct os_heap *heap) {
    return load_relaxed(&own_of("heap_number", heap)->heap->number);
}

int os_heap_check_of(struct os_heap *heap) {
    struct own *own = heaps_lock("heap_check_of", heap);
    enum invariant broken = check_heap(own->heap);
    system_unlock(&own->lock);
    if (broken != 0)
        die_warn(check_text(broken), (uintptr_t)heap);
    return (int)broken;
}
