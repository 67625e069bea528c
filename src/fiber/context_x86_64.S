/*
 * The switch for System V x86-64 (psABI 1.0, section 3.2.1: registers that belong to the caller).
 *
 *      high   return address     where context_enter() or context_leave() was called
 *             rbp rbx            callee-saved
 *             r15 r14 r13 r12    callee-saved
 *      low    x87 cw, mxcsr      a fiber's control words                     <── context.sp
 *
 * Both stacks have this shape at the moment of the switch, so one set of CFI serves them both.
 */
#define FRAME 56 /* [bytes] below the return address */

/* The control words that a process begins with (psABI, section 3.4.1). */
#define MXCSR_DEFAULT 0x1f80
#define MXCSR_CONTROL 0xffc0 /* without the sticky flags, which nobody has to keep */
#define X87_DEFAULT   0x37f

        .macro  SAVE_REGISTERS
        subq    $FRAME, %rsp
        .cfi_adjust_cfa_offset FRAME
        movq    %r12, 8(%rsp)
        movq    %r13, 16(%rsp)
        movq    %r14, 24(%rsp)
        movq    %r15, 32(%rsp)
        movq    %rbx, 40(%rsp)
        movq    %rbp, 48(%rsp)
        .cfi_rel_offset r12, 8
        .cfi_rel_offset r13, 16
        .cfi_rel_offset r14, 24
        .cfi_rel_offset r15, 32
        .cfi_rel_offset rbx, 40
        .cfi_rel_offset rbp, 48
        .endm

        .macro  SWAP_STACKS                     /* rdi: from, rsi: to */
        movq    %rsp, (%rdi)
        movq    (%rsi), %rsp
        .endm

/*
 * Load the registers and go on there. Not by ret: the return predictor holds the callers of the
 * stack that was left.
 */
        .macro  GO_ON
        movq    8(%rsp), %r12
        movq    16(%rsp), %r13
        movq    24(%rsp), %r14
        movq    32(%rsp), %r15
        movq    40(%rsp), %rbx
        movq    48(%rsp), %rbp
        movq    FRAME(%rsp), %rcx
        addq    $FRAME + 8, %rsp
        .cfi_remember_state
        .cfi_adjust_cfa_offset -FRAME - 8
        .cfi_restore r12
        .cfi_restore r13
        .cfi_restore r14
        .cfi_restore r15
        .cfi_restore rbx
        .cfi_restore rbp
        .cfi_register rip, rcx
        jmpq    *%rcx
        .cfi_restore_state
        .endm

        .macro  FUNCTION name
        .globl  \name
        .hidden \name
        .type   \name, @function
        .p2align 5
\name:
        .cfi_startproc
        .endm

        .macro  END name
        .cfi_endproc
        .size   \name, . - \name
        .endm

        .text

        FUNCTION context_enter
        SAVE_REGISTERS
        SWAP_STACKS
        movl    (%rsp), %eax
        xorl    $MXCSR_DEFAULT, %eax
        testl   $MXCSR_CONTROL, %eax
        jne     .Lenter_mxcsr
.Lenter_mxcsr_done:
        cmpw    $X87_DEFAULT, 4(%rsp)
        jne     .Lenter_x87
.Lenter_x87_done:
        GO_ON
.Lenter_mxcsr:
        ldmxcsr (%rsp)
        jmp     .Lenter_mxcsr_done
.Lenter_x87:
        fldcw   4(%rsp)
        jmp     .Lenter_x87_done
        END context_enter

        FUNCTION context_leave
        SAVE_REGISTERS
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movl    (%rsp), %eax
        xorl    $MXCSR_DEFAULT, %eax
        testl   $MXCSR_CONTROL, %eax
        jne     .Lleave_mxcsr
.Lleave_mxcsr_done:
        cmpw    $X87_DEFAULT, 4(%rsp)
        jne     .Lleave_x87
.Lleave_x87_done:
        SWAP_STACKS
        GO_ON
.Lleave_mxcsr:
        ldmxcsr mxcsr_default(%rip)
        jmp     .Lleave_mxcsr_done
.Lleave_x87:
        fldcw   x87_default(%rip)
        jmp     .Lleave_x87_done
        END context_leave

/*
 * Where a new context begins: r12 is its entry, r13 the argument. The outermost frame: an unwinder
 * ends here.
 */
        .type   context_start, @function
        .p2align 4
context_start:
        .cfi_startproc
        .cfi_undefined rip
        .cfi_undefined rbp
        xorl    %ebp, %ebp
        movq    %r13, %rdi
        callq   *%r12
        ud2
        END context_start

        FUNCTION context_make                   /* rdi: c, rsi: stack, rdx: size, rcx: entry, r8: arg */
        addq    %rdx, %rsi
        andq    $-16, %rsi                      /* 16-aligned where context_start calls */
        leaq    context_start(%rip), %rax
        movq    %rax, -8(%rsi)
        leaq    -8-FRAME(%rsi), %rax
        movl    $MXCSR_DEFAULT, (%rax)
        movl    $X87_DEFAULT, 4(%rax)
        movq    %rcx, 8(%rax)                   /* r12 */
        movq    %r8, 16(%rax)                   /* r13 */
        movq    %rax, (%rdi)
        ret
        END context_make

        .section .rodata
        .p2align 2
mxcsr_default:
        .long   MXCSR_DEFAULT
x87_default:
        .short  X87_DEFAULT

        .section .note.GNU-stack, "", @progbits
