//! Classic BPF: instructions and an assembler with labels.
//!
//! Decides only how jumps are laid out: a conditional jump of classic BPF reaches 255 instructions,
//! an unconditional one reaches all, and both go forward only.

/// One instruction, the kernel's `struct sock_filter`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// How many instructions to skip when the condition holds.
    pub jt: u8,
    /// How many to skip when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// Most instructions that the kernel takes (BPF_MAXINSNS).
pub const INSTRUCTIONS_MAX: usize = 4_096;

/// Operation codes of `linux/bpf_common.h` that the filters use.
pub(super) mod code {
    /// A = 32 bits at k.
    pub(crate) const LD_W_ABS: u16 = 0x20;
    /// A = 16 bits at k.
    pub(crate) const LD_H_ABS: u16 = 0x28;
    /// A = 8 bits at k.
    pub(crate) const LD_B_ABS: u16 = 0x30;
    /// A = 32 bits at X + k.
    pub(crate) const LD_W_IND: u16 = 0x40;
    /// A = 16 bits at X + k.
    pub(crate) const LD_H_IND: u16 = 0x48;
    /// A = 8 bits at X + k.
    pub(crate) const LD_B_IND: u16 = 0x50;
    /// X = k.
    pub(crate) const LDX_IMM: u16 = 0x01;
    /// A = A & k.
    pub(crate) const AND: u16 = 0x54;
    /// Jump k.
    pub(crate) const JA: u16 = 0x05;
    /// If A == k.
    pub(crate) const JEQ: u16 = 0x15;
    /// If A >= k.
    pub(crate) const JGE: u16 = 0x35;
    /// If A & k.
    pub(crate) const JSET: u16 = 0x45;
    /// Return k.
    pub(crate) const RET: u16 = 0x06;
}

/// A place in a program under construction.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

enum Item {
    Plain {
        code: u16,
        k: u32,
    },
    Condition {
        code: u16,
        k: u32,
        yes: Label,
        no: Label,
    },
    Jump(Label),
    Here(Label),
}

/// A program under construction.
#[derive(Default)]
pub(super) struct Assembler {
    items: Vec<Item>,
    labels: usize,
}

impl Assembler {
    /// A label that is to be placed later.
    pub(super) fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    /// Places a label here.
    pub(super) fn place(&mut self, label: Label) {
        self.items.push(Item::Here(label));
    }

    /// An instruction that does not jump.
    pub(super) fn plain(&mut self, code: u16, k: u32) {
        self.items.push(Item::Plain { code, k });
    }

    /// To `yes` if the condition holds, else to `no`.
    pub(super) fn branch(&mut self, code: u16, k: u32, yes: Label, no: Label) {
        self.items.push(Item::Condition { code, k, yes, no });
    }

    /// To `yes` if the condition holds, else on.
    pub(super) fn when(&mut self, code: u16, k: u32, yes: Label) {
        let on = self.label();
        self.branch(code, k, yes, on);
        self.place(on);
    }

    /// To `no` unless the condition holds, else on.
    pub(super) fn unless(&mut self, code: u16, k: u32, no: Label) {
        let on = self.label();
        self.branch(code, k, on, no);
        self.place(on);
    }

    /// To `label`.
    pub(super) fn jump(&mut self, label: Label) {
        self.items.push(Item::Jump(label));
    }

    /// The finished program: conditions that would reach too far hop over a plain jump.
    pub(super) fn assemble(&self) -> Vec<Instruction> {
        // Whether a condition's (yes, no) goes through a plain jump; only ever turned on, so the
        // layout settles.
        let mut far = vec![(false, false); self.items.len()];
        loop {
            let (starts, places) = self.layout(&far);
            let mut changed = false;
            for (place, item) in self.items.iter().enumerate() {
                let Item::Condition { yes, no, .. } = item else {
                    continue;
                };
                let reaches = |label: &Label| places[label.0] - starts[place] <= 256;
                let now = (far[place].0 || !reaches(yes), far[place].1 || !reaches(no));
                changed |= now != far[place];
                far[place] = now;
            }
            if !changed {
                return self.emit(&far, &starts, &places);
            }
        }
    }

    /// Where each item starts and where each label stands.
    fn layout(&self, far: &[(bool, bool)]) -> (Vec<usize>, Vec<usize>) {
        let mut starts = Vec::with_capacity(self.items.len());
        let mut places = vec![0; self.labels];
        let mut at = 0;
        for (item, far) in self.items.iter().zip(far) {
            starts.push(at);
            match item {
                Item::Here(label) => places[label.0] = at,
                Item::Plain { .. } | Item::Jump(_) => at += 1,
                Item::Condition { .. } => at += 1 + usize::from(far.0) + usize::from(far.1),
            }
        }
        (starts, places)
    }

    fn emit(&self, far: &[(bool, bool)], starts: &[usize], places: &[usize]) -> Vec<Instruction> {
        let mut program = Vec::new();
        let jump = |from: usize, to: Label| Instruction {
            code: code::JA,
            jt: 0,
            jf: 0,
            k: u32::try_from(places[to.0] - from - 1).expect("programs are short"),
        };
        for (place, item) in self.items.iter().enumerate() {
            let start = starts[place];
            let skip = |to: Label| {
                u8::try_from(places[to.0] - start - 1).expect("the layout made far jumps plain")
            };
            match *item {
                Item::Here(_) => {}
                Item::Plain { code, k } => program.push(Instruction {
                    code,
                    jt: 0,
                    jf: 0,
                    k,
                }),
                Item::Jump(to) => program.push(jump(start, to)),
                Item::Condition { code, k, yes, no } => {
                    let (far_yes, far_no) = far[place];
                    let jt = if far_yes { 0 } else { skip(yes) };
                    let jf = if far_no { u8::from(far_yes) } else { skip(no) };
                    program.push(Instruction { code, jt, jf, k });
                    if far_yes {
                        program.push(jump(start + 1, yes));
                    }
                    if far_no {
                        program.push(jump(start + 1 + usize::from(far_yes), no));
                    }
                }
            }
        }
        program
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What the kernel would return for `frame`: loads beyond the end return 0.
    pub(crate) fn run(program: &[Instruction], frame: &[u8]) -> u32 {
        let (mut a, mut x, mut at) = (0u32, 0u32, 0usize);
        let load = |from: u64, octets: u64| {
            let from = usize::try_from(from).ok()?;
            let bytes = frame.get(from..from.checked_add(usize::try_from(octets).ok()?)?)?;
            Some(
                bytes
                    .iter()
                    .fold(0, |sum, octet| sum << 8 | u32::from(*octet)),
            )
        };
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let octets = match code & 0x18 {
                0x00 => 4,
                0x08 => 2,
                _ => 1,
            };
            let branch = |yes: bool| usize::from(if yes { jt } else { jf });
            match code {
                code::LD_W_ABS | code::LD_H_ABS | code::LD_B_ABS => match load(k.into(), octets) {
                    Some(value) => a = value,
                    None => return 0,
                },
                code::LD_W_IND | code::LD_H_IND | code::LD_B_IND => {
                    match load(u64::from(k) + u64::from(x), octets) {
                        Some(value) => a = value,
                        None => return 0,
                    }
                }
                code::LDX_IMM => x = k,
                code::AND => a &= k,
                code::JA => at += k as usize,
                code::JEQ => at += branch(a == k),
                code::JGE => at += branch(a >= k),
                code::JSET => at += branch(a & k != 0),
                code::RET => return k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn far_conditions_hop_over_plain_jumps() {
        for padding in [0, 253, 254, 255, 256, 600] {
            let mut assembler = Assembler::default();
            let (yes, no) = (assembler.label(), assembler.label());
            assembler.plain(code::LD_B_ABS, 0);
            assembler.branch(code::JEQ, 7, yes, no);
            for _ in 0..padding {
                assembler.plain(code::LDX_IMM, 0);
            }
            assembler.place(no);
            assembler.plain(code::RET, 1);
            for _ in 0..padding {
                assembler.plain(code::LDX_IMM, 0);
            }
            assembler.place(yes);
            assembler.plain(code::RET, 2);
            let program = assembler.assemble();
            assert_eq!(run(&program, &[7]), 2, "padding {padding}");
            assert_eq!(run(&program, &[8]), 1, "padding {padding}");
            assert_eq!(run(&program, &[]), 0, "padding {padding}");
        }
    }
}
