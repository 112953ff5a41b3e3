#include "tools/demo/demo_heap.h"

#include <algorithm>

#include "tools/command.h"
#include "utils/osmem.h"

namespace osmem {

namespace {

constexpr size_t GRANULE = 16;

size_t rounded(size_t size) { return (size + GRANULE - 1) / GRANULE * GRANULE; }

// ---- osmem
// ---------------------------------------------------------------------------------------

class Osmem : public DemoHeap {
  public:
    const char *name() const override { return "osmem"; }

    void perform(const DemoCall &call) override {
        void *&block = blocks_[call.name];
        if (call.kind == DemoCall::FREE) {
            os_free(block);
            blocks_.erase(call.name);
            return;
        }
        block = call.kind == DemoCall::MALLOC ? os_malloc(call.size) : os_realloc(block, call.size);
        if (block == nullptr)
            throw Failure("no memory for '" + call.name + "'");
    }

    DemoPicture picture() const override {
        Walk walk;
        for (const auto &[name, block] : blocks_)
            walk.names[block] = &name;
        os_heap_walk(visit, &walk);
        return walk.picture;
    }

  private:
    struct Walk {
        DemoPicture picture;
        std::map<const void *, const std::string *> names;
    };

    // Offsets leave out what lies between the regions: addresses differ from run to run, the
    // picture does not.
    static int visit(const os_block *block, void *context) {
        Walk *walk = static_cast<Walk *>(context);
        DemoPicture &picture = walk->picture;
        const auto name = walk->names.find(block->address);
        if (block->kind == OS_BLOCK_MAPPED)
            picture.mapped += block->size;
        if (block->kind == OS_BLOCK_USED || block->kind == OS_BLOCK_FREE)
            picture.blocks.push_back({picture.end(), block->size,
                                      block->kind == OS_BLOCK_FREE ? ""
                                      : name == walk->names.end()  ? "?"
                                                                   : *name->second});
        return 0;
    }

    std::map<std::string, void *> blocks_;
};

// ---- policies
// ------------------------------------------------------------------------------------

class Policy : public DemoHeap {
  public:
    void perform(const DemoCall &call) override {
        if (call.kind == DemoCall::MALLOC)
            allocate(call.name, rounded(call.size));
        else if (call.kind == DemoCall::FREE)
            release(find(call.name));
        else
            resize(find(call.name), rounded(call.size));
    }
    DemoPicture picture() const override {
        DemoPicture picture;
        picture.blocks = blocks_;
        if (!picture.blocks.empty() && picture.blocks.back().is_free())
            picture.blocks.pop_back(); // it is the untouched end again
        return picture;
    }

  protected:
    using Index = size_t;

    // Which free block to take for `size`; blocks_.size(): none holds it.
    virtual Index choose(size_t size) = 0;

    bool fits(Index index, size_t size) const {
        return blocks_[index].is_free() && blocks_[index].size >= size;
    }

    std::vector<DemoBlock> blocks_;
    size_t rover_ = 0; // the offset from which next fit looks on

  private:
    Index find(const std::string &name) const {
        Index index = 0;
        while (blocks_[index].name != name)
            index++;
        return index;
    }

    void allocate(const std::string &name, size_t size) {
        Index index = choose(size);
        if (index == blocks_.size()) {
            // The end moves; a free block at it is used.
            if (blocks_.empty() || !blocks_.back().is_free())
                blocks_.push_back(
                    {blocks_.empty() ? 0 : blocks_.back().begin + blocks_.back().size, 0, ""});
            index = blocks_.size() - 1;
            blocks_[index].size = size;
        }
        cut(index, size);
        blocks_[index].name = name;
        rover_ = blocks_[index].begin + size;
    }

    // Leaves `size` bytes to a block; the rest becomes a free one, merged with what follows.
    void cut(Index index, size_t size) {
        const size_t rest = blocks_[index].size - size;
        if (rest == 0)
            return;
        blocks_[index].size = size;
        blocks_.insert(blocks_.begin() + long(index) + 1,
                       DemoBlock{blocks_[index].begin + size, rest, ""});
        merge(index + 1);
    }

    // Joins the free block with a free one behind it.
    void merge(Index index) {
        if (index + 1 < blocks_.size() && blocks_[index].is_free() &&
            blocks_[index + 1].is_free()) {
            blocks_[index].size += blocks_[index + 1].size;
            blocks_.erase(blocks_.begin() + long(index) + 1);
        }
    }

    void release(Index index) {
        blocks_[index].name.clear();
        merge(index);
        if (index > 0)
            merge(index - 1);
    }

    void resize(Index index, size_t size) {
        const size_t old = blocks_[index].size;
        if (size <= old) {
            cut(index, size);
        } else if (index + 1 < blocks_.size() && fits(index + 1, size - old)) {
            blocks_[index].size += blocks_[index + 1].size;
            blocks_.erase(blocks_.begin() + long(index) + 1);
            cut(index, size);
        } else {
            const std::string name = blocks_[index].name;
            blocks_[index].name = name + " "; // until it was copied
            allocate(name, size);
            release(find(name + " "));
        }
    }
};

class FirstFit : public Policy {
  public:
    const char *name() const override { return "first fit"; }

  protected:
    Index choose(size_t size) override {
        Index index = 0;
        while (index < blocks_.size() && !fits(index, size))
            index++;
        return index;
    }
};

class NextFit : public Policy {
  public:
    const char *name() const override { return "next fit"; }

  protected:
    Index choose(size_t size) override {
        Index wrapped = blocks_.size();
        for (Index index = 0; index < blocks_.size(); index++) {
            if (!fits(index, size))
                continue;
            if (blocks_[index].begin >= rover_)
                return index;
            wrapped = std::min(wrapped, index);
        }
        return wrapped;
    }
};

class BestFit : public Policy {
  public:
    const char *name() const override { return "best fit"; }

  protected:
    Index choose(size_t size) override {
        Index best = blocks_.size();
        for (Index index = 0; index < blocks_.size(); index++)
            if (fits(index, size) &&
                (best == blocks_.size() || blocks_[index].size < blocks_[best].size))
                best = index;
        return best;
    }
};

class WorstFit : public Policy {
  public:
    const char *name() const override { return "worst fit"; }

  protected:
    Index choose(size_t size) override {
        Index worst = blocks_.size();
        for (Index index = 0; index < blocks_.size(); index++)
            if (fits(index, size) &&
                (worst == blocks_.size() || blocks_[index].size > blocks_[worst].size))
                worst = index;
        return worst;
    }
};

// ---- in words
// ------------------------------------------------------------------------------------

std::string bytes_text(size_t bytes) { return std::to_string(bytes) + " bytes"; }

// The free blocks of `before` that lie in [begin, end).
size_t free_between(const DemoPicture &before, size_t begin, size_t end) {
    return size_t(
        std::count_if(before.blocks.begin(), before.blocks.end(), [&](const DemoBlock &block) {
            return block.is_free() && block.begin >= begin && block.begin + block.size <= end;
        }));
}

// Where a new block came from.
std::string explain_place(const DemoBlock &block, const DemoPicture &before,
                          const DemoPicture &after) {
    const DemoBlock *const from = before.at(block.begin);
    if (from == nullptr)
        return "no free block holds it: it is taken from the untouched end";
    if (!from->is_free())
        return "it lies where '" + from->name + "' was";
    if (from->begin + from->size < block.begin + block.size) {
        // A free block was not enough: it is several that were merged.
        const DemoBlock *const rest = after.at(block.begin + block.size);
        const size_t end = rest != nullptr && rest->is_free() ? rest->begin + rest->size
                                                              : block.begin + block.size;
        const size_t merged = free_between(before, block.begin, end);
        return "no free block held it: " + std::to_string(std::max<size_t>(merged, 1)) +
               " free neighbours were merged" +
               (end > before.end() ? " with the untouched end"
                                   : " into one of " + bytes_text(end - block.begin)) +
               (end > block.begin + block.size
                    ? ", of which it is cut; " + bytes_text(end - block.begin - block.size) +
                          " stay free"
                    : "");
    }
    size_t holding = 0, smaller = 0;
    for (const DemoBlock &other : before.blocks) {
        holding += other.is_free() && other.size >= block.size;
        smaller += other.is_free() && other.size >= block.size && other.size < from->size;
    }
    const std::string which = smaller > 0 ? ""
                              : holding > 1
                                  ? ", the smallest of " + std::to_string(holding) + " that hold it"
                                  : ", the only one that holds it";
    if (from->size == block.size)
        return "it takes a free block of just its size" + which;
    return "it is cut off a free block of " + bytes_text(from->size) + which + "; " +
           bytes_text(from->size - block.size) + " stay free";
}

std::string explain_free(const DemoBlock &was, const DemoPicture &after) {
    const DemoBlock *const now = after.at(was.begin);
    if (now == nullptr)
        return "its " + bytes_text(was.size) + " are the untouched end again";
    if (now->begin != was.begin || now->size != was.size)
        return "its " + bytes_text(was.size) + " and its free neighbours are one block of " +
               bytes_text(now->size);
    const DemoBlock *const left = was.begin == 0 ? nullptr : after.at(was.begin - 1);
    const DemoBlock *const right = after.at(was.begin + was.size);
    const size_t neighbours =
        (left != nullptr && left->is_free()) + size_t(right != nullptr && right->is_free());
    return "its " + bytes_text(was.size) + " are marked free, in two bits" +
           (neighbours == 0 ? ""
            : neighbours == 1
                ? "; its free neighbour stays a block of its own until memory is short"
                : "; its two free neighbours stay blocks of their own until memory is short");
}

std::string explain_resize(const DemoBlock &was, const DemoBlock &now, const DemoPicture &before,
                           const DemoPicture &after) {
    if (was.begin != now.begin)
        return "it has to move, and is copied: " + explain_place(now, before, after);
    if (was.size == now.size)
        return "it has that many granules already";
    if (now.size < was.size)
        return "it shrinks where it is, and its last " + bytes_text(was.size - now.size) +
               " are free";
    size_t behind = 0; // free bytes right behind it, in however many blocks
    for (const DemoBlock &block : before.blocks)
        if (block.is_free() && block.begin == was.begin + was.size + behind)
            behind += block.size;
    return "it grows where it is, by " + bytes_text(now.size - was.size) +
           (behind == 0 ? " of the untouched end"
                        : " of the " + bytes_text(behind) + " that are free behind it");
}

} // namespace

size_t DemoPicture::live() const {
    size_t sum = 0;
    for (const DemoBlock &block : blocks)
        sum += block.is_free() ? 0 : block.size;
    return sum;
}

size_t DemoPicture::free_blocks() const {
    return size_t(std::count_if(blocks.begin(), blocks.end(),
                                [](const DemoBlock &block) { return block.is_free(); }));
}

size_t DemoPicture::largest_free() const {
    size_t largest = 0;
    for (const DemoBlock &block : blocks)
        if (block.is_free())
            largest = std::max(largest, block.size);
    return largest;
}

const DemoBlock *DemoPicture::at(size_t offset) const {
    for (const DemoBlock &block : blocks)
        if (offset >= block.begin && offset < block.begin + block.size)
            return &block;
    return nullptr;
}

const DemoBlock *DemoPicture::named(const std::string &name) const {
    for (const DemoBlock &block : blocks)
        if (block.name == name)
            return &block;
    return nullptr;
}

std::unique_ptr<DemoHeap> demo_osmem() { return std::make_unique<Osmem>(); }

std::vector<std::unique_ptr<DemoHeap>> demo_policies() {
    std::vector<std::unique_ptr<DemoHeap>> heaps;
    heaps.push_back(std::make_unique<FirstFit>());
    heaps.push_back(std::make_unique<NextFit>());
    heaps.push_back(std::make_unique<BestFit>());
    heaps.push_back(std::make_unique<WorstFit>());
    return heaps;
}

std::string demo_explain(const DemoCall &call, const DemoPicture &before,
                         const DemoPicture &after) {
    const DemoBlock *const was = before.named(call.name), *const now = after.named(call.name);
    if (call.kind == DemoCall::FREE)
        return was == nullptr ? "its mapping is given back" : explain_free(*was, after);
    const std::string size = bytes_text(call.size) + " are " +
                             std::to_string(rounded(call.size) / GRANULE) + " granules: ";
    if (now == nullptr)
        return "128 KiB and more are mapped on their own";
    if (was != nullptr)
        return size + explain_resize(*was, *now, before, after);
    return size + explain_place(*now, before, after);
}

} // namespace osmem
