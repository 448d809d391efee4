// What a .cu file needs of CUDA, for a C++ compiler: each CUDA thread is a fiber, each block runs on one
// operating-system thread, and a barrier is a switch to the next fiber.
//
// The point is to fail where a GPU might: between two barriers a fiber runs as far ahead of the others as it can, in
// ascending, descending or shuffled order; shared memory is NaN at the start of a block, checked at every index and
// fenced; asynchronous copies arrive when they are waited for and not before; a barrier that not all threads reach is
// an error.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "fibers.h"

#define CUDA_ON_HOST
#define __global__
#define __device__
#define __host__
#define __shared__
#define __constant__ static const
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)

template <class To, class From>
To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "bits of another number");
    To to;
    std::memcpy(&to, &from, sizeof(To));
    return to;
}

// IEEE 754's binary16, rounded to the nearest, ties to even. Not every compiler has a type for it.
struct Half {
    unsigned short bits;
    Half() = default;
    Half(float x) {
        std::uint32_t word = same_bits<std::uint32_t>(x), size = word & 0x7FFFFFFFu;
        if (size > 0x7F800000u) size = 0x7E00;
        else if (size >= 0x47800000u) size = 0x7C00;  // 2**16 and more
        else if (size < 0x38800000u) {  // less than 2**-14: the last bit of 1/2 + x is worth as much as that of a half
            size = same_bits<std::uint32_t>(same_bits<float>(size) + 0.5f) - same_bits<std::uint32_t>(0.5f);
        } else size = (size - (112u << 23) + 0xFFF + ((size >> 13) & 1)) >> 13;
        bits = static_cast<unsigned short>(size | (word >> 16 & 0x8000));
    }
    operator float() const {
        std::uint32_t size = (bits & 0x7FFFu) << 13, sign = (bits & 0x8000u) << 16;
        std::uint32_t word = size >= 0x7C00u << 13 ? size | 0x7F800000u
                                                   : same_bits<std::uint32_t>(same_bits<float>(size) * 0x1p112f);
        return same_bits<float>(sign | word);
    }
};

// The sources' own.
struct BFloat;

namespace host {

struct Index3 {
    unsigned x, y, z;
};

constexpr int WARP = 32;
constexpr std::size_t SLOT = 64;  // bytes that a lane may hand to its warp at a time
constexpr std::size_t FENCE = 64;

enum class State { ready, at_barrier, at_warp, done };

struct Copy {
    void* to;
    const void* from;  // null: zeros
    std::size_t bytes;
};

struct Fiber {
    fibers::Context context;
    char* stack;
    Index3 thread;
    unsigned number;
    State state;
    int line;               // of the barrier that it waits at
    unsigned shared_count;  // declarations of shared memory that it has passed
    unsigned exchanges;
    std::vector<Copy> copies;
    std::vector<std::size_t> groups;  // where each committed group of copies ends
};

struct Warp {
    unsigned arrived;
    unsigned char slots[2][WARP][SLOT];
};

struct Region {
    std::vector<unsigned char> bytes;
    std::size_t size;
    unsigned char* begin() {
        auto address = reinterpret_cast<std::uintptr_t>(bytes.data()) + FENCE;
        return reinterpret_cast<unsigned char*>((address + 15) / 16 * 16);
    }
};

// Memory of the device.
struct Span {
    std::uintptr_t begin, end;
};

// What one launch is about: shared by the operating-system threads that run its blocks.
struct Launch {
    void (*kernel)(void**);
    void** arguments;
    const Span* arrays;  // that are among the arguments
    int array_count;
    Index3 grid, block;
    int order;
    std::atomic<unsigned> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;
    std::string message;

    void fail(const std::string& text) {
        std::lock_guard<std::mutex> lock(mutex);
        if (!failed) message = text;
        failed = true;
    }
};

class Block;
// Kept from launch to launch: asking the system for a hundred stacks takes longer than most launches.
inline thread_local fibers::Stacks stacks;
inline thread_local Block* block = nullptr;
inline thread_local Fiber* current = nullptr;

class Block {
public:
    explicit Block(Launch& launch) : launch(launch) {
        count_ = launch.block.x * launch.block.y * launch.block.z;
        fibers_.resize(count_);
        warps_.resize((count_ + WARP - 1) / WARP);
        order_.resize(count_);
    }

    void run(unsigned number) {
        const Index3& grid = launch.grid;
        index = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
        live_ = count_;
        waiting_ = 0;
        used_ = 0;
        for (Warp& warp : warps_) warp.arrived = 0;
        arrange(number);
        for (unsigned i = 0; i < count_; ++i) start(fibers_[i], i);
        block = this;
        while (live_ && !launch.failed) {
            bool moved = false;
            for (unsigned place = 0; place < count_ && !launch.failed; ++place) {
                Fiber& fiber = fibers_[order_[place]];
                if (fiber.state != State::ready) continue;
                resume(fiber);
                moved = true;
            }
            if (live_ && !moved) explain_standstill();
        }
        for (unsigned i = 0; i < used_; ++i) check_fences(regions_[i]);
        for (Fiber& fiber : fibers_) {
            if (fiber.stack) stacks.give_back(fiber.stack);
            fiber.stack = nullptr;
        }
        block = nullptr;
    }

    void barrier(int line) {
        current->line = line;
        current->state = State::at_barrier;
        if (++waiting_ == count_) {
            for (Fiber& fiber : fibers_) {
                if (fiber.line != line) {
                    fail("threads of a block wait at different barriers: lines " + std::to_string(line) + " and " +
                         std::to_string(fiber.line));
                }
                fiber.state = State::ready;
            }
            waiting_ = 0;
        }
        // The last one leaves too, so that every stretch between barriers runs in the launch's order.
        fibers::swap(current->context, scheduler_);
    }

    // Hands `value` to the other lanes of the warp, waits for theirs, and gives all 32.
    template <class T>
    const unsigned char (*exchange(const T& value))[SLOT] {
        static_assert(sizeof(T) <= SLOT, "a lane hands over too much");
        if (count_ % WARP) fail("a warp works together in a block whose size is no multiple of 32");
        Warp& warp = warps_[current->number / WARP];
        auto& slots = warp.slots[current->exchanges++ % 2];
        std::memcpy(slots[current->number % WARP], &value, sizeof(T));
        current->state = State::at_warp;
        if (++warp.arrived == WARP) {
            warp.arrived = 0;
            unsigned first = current->number / WARP * WARP;
            for (unsigned i = first; i < first + WARP; ++i) fibers_[i].state = State::ready;
        }
        if (current->state != State::ready) fibers::swap(current->context, scheduler_);
        return slots;
    }

    void* shared(std::size_t size) {
        unsigned number = current->shared_count++;
        if (number == used_) {
            if (regions_.size() == used_) regions_.emplace_back();
            Region& region = regions_[used_++];
            region.size = size;
            region.bytes.assign(size + 2 * FENCE + 16, 0xFF);
        }
        if (regions_[number].size != size) fail("threads of a block declare different shared memory");
        return regions_[number].begin();
    }

    // Whether so many bytes lie in an array, or in the block's shared memory.
    bool holds(const void* memory, std::size_t bytes) {
        auto begin = reinterpret_cast<std::uintptr_t>(memory), end = begin + bytes;
        for (unsigned i = 0; i < used_; ++i) {
            auto first = reinterpret_cast<std::uintptr_t>(regions_[i].begin());
            if (first <= begin && end <= first + regions_[i].size) return true;
        }
        for (int i = 0; i < launch.array_count; ++i) {
            if (launch.arrays[i].begin <= begin && end <= launch.arrays[i].end) return true;
        }
        return false;
    }

    [[noreturn]] void fail(const std::string& text) {
        Index3 t = current->thread;
        launch.fail("block (" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
                    std::to_string(index.z) + "), thread (" + std::to_string(t.x) + ", " + std::to_string(t.y) + ", " +
                    std::to_string(t.z) + "): " + text);
        for (;;) fibers::swap(current->context, scheduler_);
    }

    Launch& launch;
    Index3 index;

private:
    void arrange(unsigned seed) {
        for (unsigned i = 0; i < count_; ++i) order_[i] = launch.order == 1 ? count_ - 1 - i : i;
        if (launch.order != 2) return;
        std::uint32_t state = seed * 2654435761u + 1;
        for (unsigned i = count_; i > 1; --i) {
            state = state * 1664525u + 1013904223u;
            std::swap(order_[i - 1], order_[(state >> 8) % i]);
        }
    }

    void start(Fiber& fiber, unsigned number) {
        const Index3& size = launch.block;
        fiber.number = number;
        fiber.thread = {number % size.x, number / size.x % size.y, number / size.x / size.y};
        fiber.state = State::ready;
        fiber.line = 0;
        fiber.shared_count = fiber.exchanges = 0;
        fiber.copies.clear();
        fiber.groups.clear();
        fiber.stack = nullptr;
    }

    void resume(Fiber& fiber) {
        if (!fiber.stack) {
            fiber.stack = stacks.take();
            fibers::prepare(fiber.context, fiber.stack, enter);
        }
        current = &fiber;
        fibers::swap(scheduler_, fiber.context);
        if (fiber.state == State::done && fiber.stack) {
            stacks.give_back(fiber.stack);
            fiber.stack = nullptr;
        }
    }

    static void enter() {
        block->launch.kernel(block->launch.arguments);
        current->state = State::done;
        --block->live_;
        for (;;) fibers::swap(current->context, block->scheduler_);
    }

    void explain_standstill() {
        for (Fiber& fiber : fibers_) {
            if (fiber.state == State::done) continue;
            current = &fiber;
            std::string where = fiber.state == State::at_warp ? "for its warp" : "at line " + std::to_string(fiber.line);
            launch.fail("a thread waits " + where + " for threads that never come there");
            return;
        }
    }

    void check_fences(Region& region) {
        unsigned char* begin = region.begin();
        for (std::size_t i = 0; i < FENCE - 16; ++i) {
            if (begin[region.size + i] != 0xFF || begin[-1 - static_cast<std::ptrdiff_t>(i)] != 0xFF) {
                launch.fail("something was written beside shared memory");
                return;
            }
        }
    }

    unsigned count_, live_ = 0, waiting_ = 0, used_ = 0;
    std::vector<Fiber> fibers_;
    std::vector<Warp> warps_;
    std::vector<unsigned> order_;
    std::vector<Region> regions_;
    fibers::Context scheduler_;
};

inline void work(Launch& launch) {
    Block runner(launch);
    unsigned blocks = launch.grid.x * launch.grid.y * launch.grid.z;
    for (unsigned i = launch.next++; i < blocks && !launch.failed; i = launch.next++) {
        runner.run(launch.order == 1 ? blocks - 1 - i : i);
    }
}

// Runs all blocks on up to so many operating-system threads; 0, or 1 with the reason in `message`.
inline int run(Launch& launch, int threads, char* message, std::size_t length) {
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back([&] { work(launch); });
    work(launch);
    for (std::thread& other : others) other.join();
    if (launch.failed) std::snprintf(message, length, "%s", launch.message.c_str());
    return launch.failed;
}

inline void check(bool holds, const char* what) {
    if (!holds) block->fail(what);
}

// --- kernels by name -------------------------------------------------------------------------------------------------

template <class T>
const char* kind() {
    using Plain = std::remove_cv_t<std::remove_pointer_t<T>>;
    if constexpr (!std::is_pointer_v<T>) return std::is_class_v<T> ? "struct" : std::is_floating_point_v<T> ? "f" : "i";
    else if constexpr (std::is_same_v<Plain, float>) return "*f4";
    else if constexpr (std::is_same_v<Plain, double>) return "*f8";
    else if constexpr (std::is_same_v<Plain, Half>) return "*f2";
    else if constexpr (std::is_same_v<Plain, BFloat>) return "*V2";
    else if constexpr (std::is_same_v<Plain, unsigned char>) return "*u1";
    else if constexpr (std::is_same_v<Plain, int>) return "*i4";
    else if constexpr (std::is_same_v<Plain, long long>) return "*i8";
    else return "*?";
}

struct Parameter {
    const char* kind;
    std::size_t size;
};

struct Entry {
    const char* name;
    void (*call)(void**);
    const Parameter* parameters;
    int count;
};

template <auto Kernel>
struct Thunk;

template <class... A, void (*Kernel)(A...)>
struct Thunk<Kernel> {
    template <std::size_t... I>
    static void spread(void** arguments, std::index_sequence<I...>) {
        Kernel(*static_cast<std::remove_cv_t<A>*>(arguments[I])...);
    }
    static void call(void** arguments) { spread(arguments, std::index_sequence_for<A...>{}); }
    static inline const Parameter parameters[] = {{kind<A>(), sizeof(A)}...};
    static Entry entry(const char* name) { return {name, call, parameters, sizeof...(A)}; }
};

}  // namespace host

// --- what kernels call -----------------------------------------------------------------------------------------------

// The number of the CUDA thread, the block and so on.
#define threadIdx (host::current->thread)
#define blockIdx (host::block->index)
#define blockDim (host::block->launch.block)
#define gridDim (host::block->launch.grid)
#define __syncthreads() host::block->barrier(__LINE__)
#define HOST_CHECK(holds, what) host::check(holds, what)
inline bool host_holds(const void* memory, std::size_t bytes) { return host::block->holds(memory, bytes); }

template <class T>
T host_lane(T value, int lane) {
    T result;
    auto slots = host::block->exchange(value);
    std::memcpy(&result, slots[lane & 31], sizeof(T));
    return result;
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return host_lane(value, static_cast<int>(host::current->number % 32) ^ mask);
}
template <class T>
T __shfl_down_sync(unsigned, T value, int delta) {
    int lane = static_cast<int>(host::current->number % 32);
    return host_lane(value, lane + delta < 32 ? lane + delta : lane);
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
    return host_lane(value, lane);
}

using std::isnan;
template <class T>
T min(T a, T b) {
    return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
    return a < b ? b : a;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<std::uint64_t>(a) * b >> 32; }
inline unsigned __float_as_uint(float x) { return same_bits<std::uint32_t>(x); }
inline float __uint_as_float(unsigned x) { return same_bits<float>(x); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
template <class T>
T __ldg(const T* p) {
    return *p;
}

// Shared memory: poisoned, indices checked, fenced. The device's own is in common.cuh.
template <class T, int N>
class Shared {
public:
    Shared() : cells_(static_cast<T*>(host::block->shared(N * sizeof(T)))) {}
    explicit Shared(T* cells) : cells_(cells) {}
    Shared(const Shared&) = delete;
    T& operator[](int i) {
        host::check(0 <= i && i < N, "an index outside shared memory");
        return cells_[i];
    }
    const T& operator[](int i) const {
        host::check(0 <= i && i < N, "an index outside shared memory");
        return cells_[i];
    }
    T* four(int i) {
        host::check(0 <= i && i + 3 < N && i % 4 == 0, "four numbers outside shared memory, or not aligned");
        return cells_ + i;
    }
    // The bytes keep what was written there: nobody may read it as other numbers, nor write before all have read it.
    template <class Other, int COUNT>
    Shared<Other, COUNT> as() {
        static_assert(COUNT * sizeof(Other) <= N * sizeof(T), "as much memory as there is");
        return Shared<Other, COUNT>(reinterpret_cast<Other*>(cells_));
    }
    void arrive(int i, const T* from, int count) {
        host::check(0 <= i && i + count <= N && i % count == 0, "a copy beside shared memory, or not aligned");
        host::current->copies.push_back({cells_ + i, from, count * sizeof(T)});
    }

private:
    T* cells_;
};

// Asynchronous copies arrive when they are waited for.
inline void host_commit() { host::current->groups.push_back(host::current->copies.size()); }

inline void host_wait(int pending) {
    host::Fiber& fiber = *host::current;
    if (fiber.groups.size() <= static_cast<std::size_t>(pending)) return;
    std::size_t complete = fiber.groups.size() - pending, end = fiber.groups[complete - 1];
    for (std::size_t i = 0; i < end; ++i) {
        const host::Copy& copy = fiber.copies[i];
        if (copy.from) std::memcpy(copy.to, copy.from, copy.bytes);
        else std::memset(copy.to, 0, copy.bytes);
    }
    fiber.copies.erase(fiber.copies.begin(), fiber.copies.begin() + end);
    fiber.groups.erase(fiber.groups.begin(), fiber.groups.begin() + complete);
    for (std::size_t& group : fiber.groups) group -= end;
}

// What ldmatrix gives (PTX ISA, "Warp-level matrix load instruction"): all lanes ask for lines by the same rule, so that
// nobody has to be asked.
template <bool TRANSPOSED, class T, int N, class Line>
void host_read_matrices(unsigned (&words)[4], const Shared<T, N>& shared, const Line& line) {
    constexpr int IN_WORD = 4 / sizeof(T);
    int lane = host::current->number % 32, row = lane / 4, word = lane % 4;
    for (int matrix = 0; matrix < 4; ++matrix) {
        T numbers[IN_WORD];
        for (int i = 0; i < IN_WORD; ++i) {
            int number = word * IN_WORD + i, from = line(matrix * 8 + (TRANSPOSED ? number : row));
            host::check(from * sizeof(T) % 16 == 0, "a line of a matrix that is not aligned");
            numbers[i] = shared[from + (TRANSPOSED ? row : number)];
        }
        std::memcpy(&words[matrix], numbers, 4);
    }
}

// The numbers of a word, as the tensor cores read them: TF32 is a float without its last 13 bits.
template <class T>
float host_number(unsigned word, int place) {
    if constexpr (sizeof(T) == 4) return same_bits<float>(word & ~0x1FFFu);
    else {
        T number;
        number.bits = static_cast<unsigned short>(word >> place * 16);
        return number;
    }
}

// d += a b for the fragments that mma.sync.m16n8k8 (of TF32) and m16n8k16 (of 16 bits) spread over a warp (PTX ISA,
// "Matrix Fragments for mma.m16n8k8" and "... for mma.m16n8k16").
template <class T>
void host_mma(float (&d)[4], const unsigned (&a)[4], const unsigned* b) {
    constexpr int IN_WORD = 4 / sizeof(T);
    struct Operands {
        unsigned a[4], b[2];
    } mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    auto slots = host::block->exchange(mine);
    auto of = [&](int lane) { return reinterpret_cast<const Operands*>(slots[lane]); };
    int lane = host::current->number % 32, group = lane / 4, column = lane % 4 * 2;
    for (int k = 0; k < 8 * IN_WORD; ++k) {
        int word = k / IN_WORD, member = word % 4, part = word / 4, place = k % IN_WORD;
        float upper = host_number<T>(of(group * 4 + member)->a[part * 2], place);
        float lower = host_number<T>(of(group * 4 + member)->a[part * 2 + 1], place);
        for (int j = 0; j < 2; ++j) {
            float weight = host_number<T>(of((column + j) * 4 + member)->b[part], place);
            d[j] += upper * weight;
            d[2 + j] += lower * weight;
        }
    }
}

#define HOST_EXPORT extern "C" __attribute__((visibility("default")))

// What the builder puts at the end of a library.
#define HOST_KERNELS(...)                                                                                            \
    const host::Entry host_kernels[] = {__VA_ARGS__};                                                                \
    HOST_EXPORT int find_kernel(const char* name) {                                                                  \
        for (int i = 0; i < static_cast<int>(sizeof host_kernels / sizeof *host_kernels); ++i)                       \
            if (!std::strcmp(host_kernels[i].name, name)) return i;                                                  \
        return -1;                                                                                                   \
    }                                                                                                                \
    HOST_EXPORT int parameter(int kernel, int number, const char** kind, std::size_t* size) {                        \
        const host::Entry& entry = host_kernels[kernel];                                                             \
        if (number >= entry.count) return 0;                                                                         \
        *kind = entry.parameters[number].kind;                                                                       \
        *size = entry.parameters[number].size;                                                                       \
        return 1;                                                                                                    \
    }                                                                                                                \
    HOST_EXPORT int launch_kernel(int kernel, const unsigned* grid, const unsigned* block, void** arguments,         \
                                  const host::Span* arrays, int array_count, int order, int threads, char* message,  \
                                  std::size_t length) {                                                              \
        host::Launch launch;                                                                                         \
        launch.kernel = host_kernels[kernel].call;                                                                   \
        launch.arguments = arguments;                                                                                \
        launch.arrays = arrays;                                                                                      \
        launch.array_count = array_count;                                                                            \
        launch.grid = {grid[0], grid[1], grid[2]};                                                                   \
        launch.block = {block[0], block[1], block[2]};                                                               \
        launch.order = order;                                                                                        \
        return host::run(launch, threads, message, length);                                                          \
    }
