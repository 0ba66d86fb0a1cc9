//! Where the kernel starts the program, and the functions that the compiler takes for granted.

use crate::system::Arguments;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    // The stack begins with the number of arguments; calls want it aligned.
    "xor %ebp, %ebp",
    "mov %rsp, %rdi",
    "and $-16, %rsp",
    "call {begin}",
    "ud2",
    begin = sym begin,
    options(att_syntax)
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "and x9, x0, #-16",
    "mov sp, x9",
    "bl {begin}",
    "brk #1",
    begin = sym begin
);

/// `stack` is what the kernel has put there: the number of arguments, those, a null, and the
/// variables of the environment with another.
extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the kernel starts a program with its stack in that form, and nothing has changed it:
    // `_start` passes on the pointer that it was given.
    let arguments = unsafe { Arguments::of_stack(stack) };
    match crate::run(arguments) {
        Ok(never) => match never {},
        Err(failure) => crate::fail(&failure),
    }
}
