#include "osmem/freed.h"

#include <string.h>

#include "osmem/conf.h"
#include "osmem/pattern.h"
#include "osmem/slack.h"
#include "utils/die.h"

/* Writes `count` bytes of the same value, after all before: words at once where aligned. */
static void slack_store(uint8_t *bytes, size_t count, uint8_t value) {
    uint64_t word = value * UINT64_C(0x0101010101010101);
    for (; count != 0 && !is_aligned((uintptr_t)bytes, sizeof word); bytes++, count--)
        __atomic_store_n(bytes, value, __ATOMIC_RELEASE);
    for (; count >= sizeof word; bytes += sizeof word, count -= sizeof word)
        __atomic_store_n((uint64_t *)(void *)bytes, word, __ATOMIC_RELEASE);
    for (; count != 0; bytes++, count--)
        __atomic_store_n(bytes, value, __ATOMIC_RELEASE);
}

void freed_fill(void *start, size_t granules, unsigned char slack) {
    if (likely(!conf.checked))
        fill_write(start, granules_bytes(granules));
    /* Who checks the heap meanwhile finds the fill where a byte says so. */
    slack_store(slack_at(start), granules, slack);
}

size_t freed_run(const unsigned char *slack, size_t count) {
    uint64_t word, same = slack[0] * UINT64_C(0x0101010101010101);
    size_t length = 1;
    for (; length + sizeof word <= count; length += sizeof word) {
        memcpy(&word, slack + length, sizeof word);
        if (word != same)
            break;
    }
    while (length < count && slack[length] == slack[0])
        length++;
    return length;
}

void *freed_damage(void *start, size_t granules) {
    const uint8_t *slack = slack_at(start);
    if (unlikely(conf.checked))
        return NULL;
    for (size_t done = 0, length; done < granules; done += length) {
        length = freed_run(slack + done, granules - done);
        if (!slack_is_freed(slack[done]) || slack[done] == SLACK_FREEING)
            continue;
        char *run = (char *)start + granules_bytes(done);
        void *damage = slack[done] == SLACK_PURGED ? zero_damage(run, granules_bytes(length))
                                                   : fill_damage(run, granules_bytes(length));
        if (damage != NULL)
            return damage;
    }
    return NULL;
}

void freed_purged(void *start, size_t granules) { memset(slack_at(start), SLACK_PURGED, granules); }

void freed_reclaim(const char *function, void *start, size_t granules) {
    void *damage = freed_damage(start, granules);
    if (unlikely(damage != NULL))
        die_block(function, damage, FREED_FACT);
    memset(slack_at(start), 0, granules);
}
