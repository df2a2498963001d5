/* Makes a process believe that its processor has AVX2 and nothing newer: no AVX-512, VNNI or AMX. For LD_PRELOAD.
 *
 * ONNX Runtime chooses its kernels by the CPUID instruction and has no switch for it. Linux can make this instruction
 * fault (arch_prctl(2), ARCH_SET_CPUID; a processor with `cpuid_fault` in /proc/cpuinfo), and then it is carried out
 * here. Threads inherit that; exec ends it, and LD_PRELOAD begins anew. `cpuid_mask.py` compiles it.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* Of leaf 7, EBX, what a Haswell of 2013 tells, the first processor with AVX2; ECX and EDX were empty, and there was
 * one subleaf: FSGSBASE, BMI1, AVX2, SMEP, BMI2, ERMS, INVPCID. Intel SDM, volume 2A, table 3-17. */
#define HASWELL (1u << 0 | 1u << 3 | 1u << 5 | 1u << 7 | 1u << 8 | 1u << 9 | 1u << 10)

int __sigaction(int number, const struct sigaction *wanted, struct sigaction *before); /* glibc's own, as exported */

static struct sigaction others; /* what the program itself wants to be done at SIGSEGV */

static long faulting(int on) {
    return syscall(SYS_arch_prctl, ARCH_SET_CPUID, !on);
}

static void answer(greg_t *registers) {
    unsigned leaf = registers[REG_RAX], eax, ebx, ecx, edx;
    faulting(0);
    __cpuid_count(leaf, (unsigned)registers[REG_RCX], eax, ebx, ecx, edx);
    faulting(1);
    if (leaf == 7) {
        eax = ecx = edx = 0;
        ebx &= (unsigned)registers[REG_RCX] ? 0 : HASWELL;
    }
    registers[REG_RAX] = eax;
    registers[REG_RBX] = ebx;
    registers[REG_RCX] = ecx;
    registers[REG_RDX] = edx;
    registers[REG_RIP] += 2;
}

static void on_fault(int number, siginfo_t *told, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)registers[REG_RIP];
    /* SI_KERNEL is the general protection fault. A page that is not there says otherwise, and may be that of `code`. */
    if (told->si_code == SI_KERNEL && code[0] == 0x0f && code[1] == 0xa2) {
        answer(registers);
    } else if (others.sa_flags & SA_SIGINFO) {
        others.sa_sigaction(number, told, context);
    } else if (others.sa_handler != SIG_DFL && others.sa_handler != SIG_IGN) {
        others.sa_handler(number);
    } else {
        __sigaction(SIGSEGV, &others, NULL); /* the same again, now without this handler */
        raise(number);
    }
}

/* Whoever handles SIGSEGV later, as Python's faulthandler does, gets what is left of it. */
int sigaction(int number, const struct sigaction *wanted, struct sigaction *before) {
    struct sigaction until_now = others;
    if (number != SIGSEGV)
        return __sigaction(number, wanted, before);
    if (wanted)
        others = *wanted;
    if (before)
        *before = until_now;
    return 0;
}

sighandler_t signal(int number, sighandler_t handler) {
    struct sigaction wanted = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;
    return sigaction(number, &wanted, &before) ? SIG_ERR : before.sa_handler;
}

/* Before the static initialisers of torch and ONNX Runtime, which ask for the processor. */
__attribute__((constructor)) static void mask(void) {
    struct sigaction own = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static const char refused[] = "cpuid_mask: the kernel does not let CPUID fault\n";
    if (__sigaction(SIGSEGV, &own, &others) || faulting(1)) {
        (void)!write(STDERR_FILENO, refused, sizeof refused - 1);
        _exit(126); /* never measured as what it is not */
    }
}
