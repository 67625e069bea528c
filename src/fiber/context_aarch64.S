/*
 * The switch for AArch64 (AAPCS64, sections 6.1.1 and 6.1.2: x19-x28, sp, fp and the low halves of
 * v8-v15 belong to the caller, and so do the control bits of FPCR).
 *
 *      high   fpcr               a fiber's; 8 bytes of padding, as sp must be 16-aligned
 *             d8 ... d15
 *      low    x19 ... x28 x29 x30                                                <── context.sp
 */
#define FRAME 176 /* [bytes] */

        .macro  SAVE_REGISTERS
        sub     sp, sp, #FRAME
        .cfi_adjust_cfa_offset FRAME
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        .cfi_rel_offset x19, 0
        .cfi_rel_offset x20, 8
        .cfi_rel_offset x21, 16
        .cfi_rel_offset x22, 24
        .cfi_rel_offset x23, 32
        .cfi_rel_offset x24, 40
        .cfi_rel_offset x25, 48
        .cfi_rel_offset x26, 56
        .cfi_rel_offset x27, 64
        .cfi_rel_offset x28, 72
        .cfi_rel_offset x29, 80
        .cfi_rel_offset x30, 88
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        .endm

        .macro  SWAP_STACKS             /* x0: from, x1: to */
        mov     x2, sp
        str     x2, [x0]
        ldr     x2, [x1]
        mov     sp, x2
        .endm

/* Load the registers and go on there. Not by ret: the return predictor holds the callers of the
 * stack that was left. */
        .macro  GO_ON
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        add     sp, sp, #FRAME
        .cfi_adjust_cfa_offset -FRAME
        br      x30
        .endm

        .macro  FUNCTION name
        .globl  \name
        .hidden \name
        .type   \name, %function
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
        ldr     x3, [sp, #160]
        cbz     x3, 1f                  /* FPCR is 0 when a process begins, and slow to write */
        msr     fpcr, x3
1:      GO_ON
        END context_enter

        FUNCTION context_leave
        SAVE_REGISTERS
        mrs     x3, fpcr
        str     x3, [sp, #160]
        cbz     x3, 1f
        msr     fpcr, xzr
1:      SWAP_STACKS
        GO_ON
        END context_leave

/* Where a new context begins: x19 is its entry, x20 the argument. The outermost frame. */
        .type   context_start, %function
        .p2align 4
context_start:
        .cfi_startproc
        .cfi_undefined x30
        mov     x0, x20
        blr     x19
        brk     #1
        END context_start

        FUNCTION context_make           /* x0: c, x1: stack, x2: size, x3: entry, x4: arg */
        add     x1, x1, x2
        and     x1, x1, #-16
        sub     x1, x1, #FRAME
        adrp    x5, context_start
        add     x5, x5, :lo12:context_start
        stp     x3, x4, [x1, #0]        /* x19, x20 */
        stp     xzr, x5, [x1, #80]      /* x29: the frame chain ends here; x30 */
        str     xzr, [x1, #160]         /* fpcr */
        str     x1, [x0]
        ret
        END context_make

        .section .note.GNU-stack, "", %progbits
