// A stack of its own for each CUDA thread, and the switch from one to another.
//
// The switch saves what a called function must preserve and nothing else, so it costs nanoseconds. On other processors
// than these two, ucontext does the same with two system calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <sys/mman.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
#define FIBERS_BY_UCONTEXT
#endif
#ifdef FIBERS_BY_UCONTEXT
#include <ucontext.h>
#endif

namespace fibers {

constexpr std::size_t STACK_BYTES = 128 * 1024;

#ifdef FIBERS_BY_UCONTEXT

struct Context {
    ucontext_t state;
};

inline void swap(Context& from, Context& to) { swapcontext(&from.state, &to.state); }

inline void prepare(Context& context, char* stack, void (*entry)()) {
    getcontext(&context.state);
    context.state.uc_stack.ss_sp = stack;
    context.state.uc_stack.ss_size = STACK_BYTES;
    context.state.uc_link = nullptr;
    makecontext(&context.state, entry, 0);
}

#else

struct Context {
    void* stack_pointer;
};

extern "C" __attribute__((visibility("hidden"))) void fibers_swap(void** from, void* to) asm("fibers_swap");

#if defined(__x86_64__)
asm(R"(
    .text
    .globl fibers_swap
fibers_swap:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
constexpr int ENTRY = 6;  // where among the saved words the address lies that the switch returns to
constexpr int WORDS = 8;
#else
asm(R"(
    .text
    .globl fibers_swap
fibers_swap:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
constexpr int ENTRY = 11;
constexpr int WORDS = 20;
#endif

inline void swap(Context& from, Context& to) { fibers_swap(&from.stack_pointer, to.stack_pointer); }

// Lays the stack out as if the fiber had just left by `swap`, about to return to the beginning of `entry`.
inline void prepare(Context& context, char* stack, void (*entry)()) {
    void** words = reinterpret_cast<void**>(stack + STACK_BYTES) - WORDS;
    for (int i = 0; i < WORDS; ++i) words[i] = nullptr;
    words[ENTRY] = reinterpret_cast<void*>(entry);
    context.stack_pointer = words;
}

#endif

// Stacks are kept by the operating-system thread that made them; the last one given back is the first one taken, so a
// kernel without barriers runs all its threads on one warm stack.
class Stacks {
public:
    char* take() {
        if (idle_.empty()) {
            void* memory = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
        }
        char* stack = idle_.back();
        idle_.pop_back();
        return stack;
    }
    void give_back(char* stack) { idle_.push_back(stack); }
    ~Stacks() {
        for (char* stack : idle_) munmap(stack, STACK_BYTES);
    }

private:
    std::vector<char*> idle_;
};

}  // namespace fibers
