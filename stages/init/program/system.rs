//! System calls: the ones that are needed, in safe functions.

use core::arch::asm;
use core::ffi::CStr;
use core::ptr::null;

/// An error of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) u32);

impl Errno {
    pub(crate) const NOENT: Errno = Errno(2);
    pub(crate) const NODEV: Errno = Errno(19);
    pub(crate) const EXIST: Errno = Errno(17);
    pub(crate) const INVAL: Errno = Errno(22);
}

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const WRITE: usize = 1;
    pub(super) const CLOSE: usize = 3;
    pub(super) const IOCTL: usize = 16;
    pub(super) const PREAD64: usize = 17;
    pub(super) const NANOSLEEP: usize = 35;
    pub(super) const EXECVE: usize = 59;
    pub(super) const CHDIR: usize = 80;
    pub(super) const CHROOT: usize = 161;
    pub(super) const SYNC: usize = 162;
    pub(super) const MOUNT: usize = 165;
    pub(super) const REBOOT: usize = 169;
    pub(super) const GETDENTS64: usize = 217;
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const OPENAT: usize = 257;
    pub(super) const MKDIRAT: usize = 258;
    pub(super) const FINIT_MODULE: usize = 313;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const IOCTL: usize = 29;
    pub(super) const MKDIRAT: usize = 34;
    pub(super) const MOUNT: usize = 40;
    pub(super) const CHDIR: usize = 49;
    pub(super) const CHROOT: usize = 51;
    pub(super) const OPENAT: usize = 56;
    pub(super) const CLOSE: usize = 57;
    pub(super) const GETDENTS64: usize = 61;
    pub(super) const WRITE: usize = 64;
    pub(super) const PREAD64: usize = 67;
    pub(super) const SYNC: usize = 81;
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const NANOSLEEP: usize = 101;
    pub(super) const REBOOT: usize = 142;
    pub(super) const EXECVE: usize = 221;
    pub(super) const FINIT_MODULE: usize = 273;
}

/// # Safety
/// The call and its arguments do to memory only what the caller may do.
unsafe fn call(number: usize, arguments: [usize; 5]) -> Result<usize, Errno> {
    let [one, two, three, four, five] = arguments;
    let returned: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller vouches for what the call does; the registers are those that the kernel
    // reads, and all that it changes are named.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => returned,
            in("rdi") one, in("rsi") two, in("rdx") three, in("r10") four, in("r8") five,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") one => returned,
            in("x1") two, in("x2") three, in("x3") four, in("x4") five,
            options(nostack)
        );
    }
    match usize::try_from(returned) {
        Ok(value) => Ok(value),
        Err(_) => Err(Errno(u32::try_from(returned.unsigned_abs()).unwrap_or(Errno::INVAL.0))),
    }
}

/// Paths are taken as they are from here: relative ones from the working directory.
const AT_FDCWD: usize = (-100_isize).cast_unsigned();

fn address(text: &CStr) -> usize {
    text.as_ptr().expose_provenance()
}

/// What the kernel has started the program with.
#[derive(Clone, Copy)]
pub(crate) struct Arguments {
    /// Null-terminated lists of pointers to texts, there until the program ends.
    arguments: *const *const u8,
    environment: *const *const u8,
}

impl Arguments {
    /// # Safety
    /// `stack` points to what the kernel has put on the stack of a new program.
    pub(crate) unsafe fn of_stack(stack: *const usize) -> Arguments {
        // SAFETY: first is the number of arguments; behind them are a null and the environment.
        unsafe {
            let count = stack.read();
            Arguments { arguments: stack.add(1).cast(), environment: stack.add(count + 2).cast() }
        }
    }
}

/// How many arguments are passed on: more than the kernel gives.
const MAX_ARGUMENTS: usize = 64;

/// Runs a program in place of this one, with the arguments and the environment of this one; returns
/// only when that fails.
pub(crate) fn execute(program: &CStr, given: Arguments) -> Errno {
    let mut list = [null(); MAX_ARGUMENTS + 1];
    for (at, argument) in list.iter_mut().take(MAX_ARGUMENTS).enumerate() {
        // SAFETY: the list of the kernel ends with a null, at which this stops.
        *argument = unsafe { given.arguments.add(at).read() };
        if argument.is_null() {
            break;
        }
    }
    list[0] = program.as_ptr().cast();
    let list = list.as_ptr().expose_provenance();
    // SAFETY: both lists end with a null and point to texts; the kernel only reads them.
    let done = unsafe { call(number::EXECVE, [address(program), list, given.environment.expose_provenance(), 0, 0]) };
    done.err().unwrap_or(Errno::INVAL)
}

/// An open file, which is closed when it goes.
pub(crate) struct File(usize);

impl File {
    pub(crate) fn open(path: &CStr) -> Result<File, Errno> {
        File::open_for(path, 0)
    }

    pub(crate) fn open_writable(path: &CStr) -> Result<File, Errno> {
        const O_RDWR: usize = 2;
        File::open_for(path, O_RDWR)
    }

    fn open_for(path: &CStr, access: usize) -> Result<File, Errno> {
        const O_CLOEXEC: usize = 0o2_000_000;
        // SAFETY: the kernel only reads the path.
        unsafe { call(number::OPENAT, [AT_FDCWD, address(path), access | O_CLOEXEC, 0, 0]) }.map(File)
    }

    /// Opens what a program that is run in place of this one keeps.
    pub(crate) fn open_kept(path: &CStr) -> Result<File, Errno> {
        const O_RDWR: usize = 2;
        // SAFETY: the kernel only reads the path.
        unsafe { call(number::OPENAT, [AT_FDCWD, address(path), O_RDWR, 0, 0]) }.map(File)
    }

    pub(crate) fn number(&self) -> usize {
        self.0
    }

    /// Leaves it open.
    pub(crate) fn keep(self) {
        core::mem::forget(self);
    }

    /// Reads at most that many bytes; fewer at the end of the file.
    pub(crate) fn read(&self, bytes: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let offset = usize::try_from(offset).map_err(|_| Errno::INVAL)?;
        let to = bytes.as_mut_ptr().expose_provenance();
        // SAFETY: the kernel writes at most `bytes.len()` bytes to `bytes`, which is borrowed.
        unsafe { call(number::PREAD64, [self.0, to, bytes.len(), offset, 0]) }
    }

    /// Fills all of it.
    pub(crate) fn read_exact(&self, bytes: &mut [u8], offset: u64) -> Result<(), Errno> {
        let mut done = 0;
        while done < bytes.len() {
            match self.read(&mut bytes[done..], offset.saturating_add(done as u64))? {
                0 => return Err(Errno::INVAL),
                count => done += count,
            }
        }
        Ok(())
    }

    /// The next entries of a directory, as the kernel has them.
    pub(crate) fn entries(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        let to = bytes.as_mut_ptr().expose_provenance();
        // SAFETY: the kernel writes at most `bytes.len()` bytes to `bytes`, which is borrowed.
        unsafe { call(number::GETDENTS64, [self.0, to, bytes.len(), 0, 0]) }
    }

    /// Loads it as a module of the kernel.
    pub(crate) fn load_module(&self) -> Result<(), Errno> {
        // SAFETY: the kernel only reads the parameters. What a module does is the kernel's.
        unsafe { call(number::FINIT_MODULE, [self.0, address(c""), 0, 0, 0]) }.map(drop)
    }

    /// A request that reads and writes `bytes`, which has the length that the request says.
    pub(crate) fn request(&self, request: usize, bytes: &mut [u8]) -> Result<(), Errno> {
        let to = bytes.as_mut_ptr().expose_provenance();
        // SAFETY: the requests that are made (`mapper`) say in `bytes` itself how long it is, and
        // the kernel writes no more than that.
        unsafe { call(number::IOCTL, [self.0, request, to, 0, 0]) }.map(drop)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: nobody else has this number.
        let _ = unsafe { call(number::CLOSE, [self.0, 0, 0, 0, 0]) };
    }
}

/// Reads as much of a file as fits.
pub(crate) fn read_file<'b>(path: &CStr, bytes: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let file = File::open(path)?;
    let mut done = 0;
    while done < bytes.len() {
        match file.read(&mut bytes[done..], done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(&bytes[..done])
}

/// Puts a path together; none when it does not fit, or has a zero in it.
pub(crate) fn path<'b>(parts: &[&[u8]], buffer: &'b mut [u8]) -> Option<&'b CStr> {
    let mut len = 0;
    for part in parts {
        buffer.get_mut(len..len + part.len())?.copy_from_slice(part);
        len += part.len();
    }
    *buffer.get_mut(len)? = 0;
    CStr::from_bytes_with_nul(&buffer[..=len]).ok()
}

pub(crate) fn write(descriptor: usize, bytes: &[u8]) {
    let from = bytes.as_ptr().expose_provenance();
    // There is nobody left to tell. SAFETY: the kernel reads `bytes.len()` bytes of `bytes`.
    let _ = unsafe { call(number::WRITE, [descriptor, from, bytes.len(), 0, 0]) };
}

pub(crate) fn mkdir(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call(number::MKDIRAT, [AT_FDCWD, address(path), 0o755, 0, 0]) }.map(drop)
}

pub(crate) const MS_RDONLY: usize = 1;
pub(crate) const MS_MOVE: usize = 8192;

pub(crate) fn mount(from: &CStr, to: &CStr, kind: &CStr, flags: usize, options: &CStr) -> Result<(), Errno> {
    let options = if options.is_empty() { 0 } else { address(options) };
    // SAFETY: the kernel only reads the texts.
    unsafe { call(number::MOUNT, [address(from), address(to), address(kind), flags, options]) }.map(drop)
}

pub(crate) fn chdir(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call(number::CHDIR, [address(path), 0, 0, 0, 0]) }.map(drop)
}

pub(crate) fn chroot(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call(number::CHROOT, [address(path), 0, 0, 0, 0]) }.map(drop)
}

pub(crate) fn sleep_milliseconds(milliseconds: u32) {
    let time = [usize::try_from(milliseconds / 1000).unwrap_or(0), (milliseconds % 1000) as usize * 1_000_000];
    // SAFETY: the kernel reads two words, seconds and nanoseconds.
    let _ = unsafe { call(number::NANOSLEEP, [time.as_ptr().expose_provenance(), 0, 0, 0, 0]) };
}

pub(crate) fn power_off() {
    const MAGIC: [usize; 3] = [0xfee1_dead, 0x2812_1969, 0x4321_fedc];
    // SAFETY: neither call touches memory of this program.
    let _ = unsafe { call(number::SYNC, [0; 5]) };
    // SAFETY: as above.
    let _ = unsafe { call(number::REBOOT, [MAGIC[0], MAGIC[1], MAGIC[2], 0, 0]) };
}

pub(crate) fn exit(status: usize) -> ! {
    loop {
        // SAFETY: the program ends.
        let _ = unsafe { call(number::EXIT_GROUP, [status, 0, 0, 0, 0]) };
    }
}
