//! What Go, and so every image, calls the processors that Rust has other names for.

/// What a program is compiled for, in Rust's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'t> {
    /// `target_arch`.
    pub(super) architecture: &'t str,
    /// `target_endian`.
    pub(super) big_endian: bool,
    /// The whole target, such as `armv7-unknown-linux-gnueabihf`.
    pub(super) name: &'t str,
}

impl Target<'static> {
    /// What this program is compiled for.
    pub(super) const OWN: Target<'static> = Target {
        architecture: std::env::consts::ARCH,
        big_endian: cfg!(target_endian = "big"),
        name: env!("CVBAKE_TARGET"),
    };
}

impl<'t> Target<'t> {
    /// `GOARCH` and the variant, which is empty where there is but one. What Go has no name for
    /// keeps Rust's: an image may still say it.
    pub(super) fn go(self) -> (&'t str, &'static str) {
        let or_big = |little, big| if self.big_endian { big } else { little };
        let architecture = match self.architecture {
            // Also where pointers have 32 bits (x32, ilp32): it is the machine that counts.
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" | "arm64ec" => or_big("arm64", "arm64be"),
            "arm" => or_big("arm", "armbe"),
            "loongarch64" => "loong64",
            "mips" | "mips32r6" => or_big("mipsle", "mips"),
            "mips64" | "mips64r6" => or_big("mips64le", "mips64"),
            "powerpc" => "ppc",
            "powerpc64" => or_big("ppc64le", "ppc64"),
            "riscv32" => "riscv",
            "wasm32" | "wasm64" => "wasm",
            // riscv64, s390x, sparc64
            other => other,
        };
        (architecture, if architecture == "arm" { self.arm_variant() } else { "" })
    }

    /// Debian's `armhf` and most others are v7; Raspbian is v6, and so is Rust's plain `arm`.
    fn arm_variant(self) -> &'static str {
        let version = self.name.strip_prefix("arm").or_else(|| self.name.strip_prefix("thumb")).unwrap_or_default();
        match version.as_bytes() {
            [b'v', b'8' | b'9', ..] => "v8",
            [b'v', b'7', ..] => "v7",
            // There are no images for older ones.
            [b'v', b'4' | b'5', ..] => "v5",
            _ => "v6",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every Linux that Rust knows, as `rustc --print cfg --target …` has it.
    #[test]
    fn names_of_processors() {
        let table = [
            ("x86_64-unknown-linux-gnu", "x86_64", false, "amd64", ""),
            ("x86_64-unknown-linux-gnux32", "x86_64", false, "amd64", ""),
            ("i686-unknown-linux-gnu", "x86", false, "386", ""),
            ("i586-unknown-linux-musl", "x86", false, "386", ""),
            ("aarch64-unknown-linux-gnu", "aarch64", false, "arm64", ""),
            ("aarch64_be-unknown-linux-gnu", "aarch64", true, "arm64be", ""),
            ("armv7-unknown-linux-gnueabihf", "arm", false, "arm", "v7"),
            ("thumbv7neon-unknown-linux-gnueabihf", "arm", false, "arm", "v7"),
            ("arm-unknown-linux-gnueabihf", "arm", false, "arm", "v6"),
            ("arm-unknown-linux-musleabi", "arm", false, "arm", "v6"),
            ("armv5te-unknown-linux-gnueabi", "arm", false, "arm", "v5"),
            ("armv4t-unknown-linux-gnueabi", "arm", false, "arm", "v5"),
            ("armeb-unknown-linux-gnueabi", "arm", true, "armbe", ""),
            ("loongarch64-unknown-linux-gnu", "loongarch64", false, "loong64", ""),
            ("mips-unknown-linux-gnu", "mips", true, "mips", ""),
            ("mipsel-unknown-linux-gnu", "mips", false, "mipsle", ""),
            ("mipsisa32r6el-unknown-linux-gnu", "mips32r6", false, "mipsle", ""),
            ("mips64-unknown-linux-gnuabi64", "mips64", true, "mips64", ""),
            ("mips64el-unknown-linux-gnuabi64", "mips64", false, "mips64le", ""),
            ("mipsisa64r6el-unknown-linux-gnuabi64", "mips64r6", false, "mips64le", ""),
            ("powerpc-unknown-linux-gnu", "powerpc", true, "ppc", ""),
            ("powerpc64-unknown-linux-gnu", "powerpc64", true, "ppc64", ""),
            ("powerpc64le-unknown-linux-gnu", "powerpc64", false, "ppc64le", ""),
            ("riscv64gc-unknown-linux-gnu", "riscv64", false, "riscv64", ""),
            ("riscv32gc-unknown-linux-gnu", "riscv32", false, "riscv", ""),
            ("s390x-unknown-linux-gnu", "s390x", true, "s390x", ""),
            ("sparc64-unknown-linux-gnu", "sparc64", true, "sparc64", ""),
            ("m68k-unknown-linux-gnu", "m68k", true, "m68k", ""),
        ];
        for (name, architecture, big_endian, go, variant) in table {
            assert_eq!(Target { architecture, big_endian, name }.go(), (go, variant), "{name}");
        }
    }

    #[test]
    fn this_one() {
        let Target { architecture, name, .. } = Target::OWN;
        assert_eq!(architecture, std::env::consts::ARCH);
        let family = name.split('-').next().unwrap_or_default();
        assert!(family.len() < name.len() && !family.is_empty(), "{name}");
        assert_eq!(name.contains("x86_64"), cfg!(target_arch = "x86_64"), "{name}");
    }
}
