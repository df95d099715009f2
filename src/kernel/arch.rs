//! The instruction set that the kernels run on.

use std::sync::OnceLock;

use pulp::Arch;

/// Environment variable that asks for a narrower instruction set than the machine's widest: `scalar`, `avx2` or `avx512`.
const VARIABLE: &str = "NSTR_SIMD";

/// The widest instruction set of the machine, or the narrower one that `NSTR_SIMD` asks for; read once.
pub fn arch() -> Arch {
    static CHOSEN: OnceLock<Arch> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let Some(name) = std::env::var_os(VARIABLE) else { return Arch::new() };
        let name = name.to_string_lossy();
        named(&name).unwrap_or_else(|| {
            log::warn!("{VARIABLE}={name} is not scalar, avx2 or avx512, or not of this machine; its widest is used");
            Arch::new()
        })
    })
}

/// The instruction set of this name; `None` if there is none or the machine lacks it.
fn named(name: &str) -> Option<Arch> {
    match name {
        "scalar" => Some(Arch::Scalar),
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        "avx2" => pulp::x86::V3::try_new().map(Arch::V3),
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        "avx512" => pulp::x86::V4::try_new().map(Arch::V4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Simd, WithSimd};

    struct Lanes;

    impl WithSimd for Lanes {
        type Output = usize;

        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }

    #[test]
    fn names_choose_instruction_sets() {
        let lanes = |name: &str| named(name).map(|arch| arch.dispatch(Lanes));
        assert_eq!(lanes("scalar"), Some(1));
        assert!(lanes("avx2").is_none_or(|n| n == 8));
        assert!(lanes("avx512").is_none_or(|n| n == 16));
        assert_eq!([lanes(""), lanes("AVX2"), lanes("avx512 ")], [None; 3]);
        let wanted = std::env::var(VARIABLE).ok().and_then(|name| lanes(&name));
        assert_eq!(arch().dispatch(Lanes), wanted.unwrap_or_else(|| Arch::new().dispatch(Lanes)));
    }
}
