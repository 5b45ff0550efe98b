//! Traffic control on the WAN port and the TAP device: loads the filters of `policy::steer`.
//!
//! Four places, all classic BPF loaded through routing netlink (no eBPF, no tc binary, and so also
//! without root in a user namespace):
//!
//! | where | first filter | second filter |
//! |---|---|---|
//! | WAN egress | names what leaves as it is | everything: redirect to the TAP device |
//! | WAN ingress | names what the stack may have | everything: drop |
//! | TAP ingress | everything: redirect to WAN ingress | |
//!
//! The filters belong to the WAN port and stay when the process ends: its TAP device is gone then,
//! and a redirect to a device that is gone drops. A later start replaces each filter in place, which
//! the kernel does atomically, so that there is no open instant; only [`release`] opens.

use std::io;

use policy::steer::{Instruction, constant};

use crate::netlink::{Answer, Attributes, Message, Socket};

const TCMSG: usize = 20;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_ACT: u16 = 1;
const TCA_BPF_CLASSID: u16 = 3;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_MIRRED_PARMS: u16 = 2;
const TCA_EGRESS_REDIR: i32 = 1;
const TCA_INGRESS_REDIR: i32 = 3;
const TC_ACT_SHOT: u32 = 2;
const TC_ACT_STOLEN: i32 = 4;
const ETH_P_ALL: u16 = 0x0003;

const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;

/// The class that marks a filter as ours (`GV`); it has no other meaning.
const OURS: u32 = 0x4756_0000;
const HANDLE: u32 = 1;
/// Before every other filter, so that no other can let a packet out of our sight.
const FIRST: u32 = 1;
const SECOND: u32 = 2;
/// Where the filters of a WAN port are; what redirects and drops comes before what passes, so that
/// nothing is lost while they are taken away in this order.
const PLACES: [(u32, u32); 4] = [
    (EGRESS, SECOND),
    (EGRESS, FIRST),
    (INGRESS, SECOND),
    (INGRESS, FIRST),
];

/// What happens to the frames that the egress program does not name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They go to the TAP device with this index.
    Tap(u32),
    /// They are dropped: nobody forwards.
    Drop,
}

/// The filters of one WAN port.
#[derive(Clone, Debug)]
pub struct Filters {
    /// Names what leaves as it is.
    pub egress: Vec<Instruction>,
    /// Names what the stack may have.
    pub ingress: Vec<Instruction>,
    /// The fate of what egress does not name.
    pub rest: Rest,
}

/// Loads or replaces the filters of a WAN port. Each replacement is atomic; whatever fails leaves
/// the port as closed as it was, or more.
///
/// # Errors
/// Needs CAP_NET_ADMIN and a kernel with cls_bpf, act_mirred and clsact; refuses to replace
/// a filter of somebody else.
pub fn load(socket: &mut Socket, wan: u32, filters: &Filters) -> io::Result<()> {
    clsact(socket, wan)?;
    for (parent, preference) in PLACES {
        refuse_foreign(socket, wan, parent, preference)?;
    }
    let verdict = match filters.rest {
        Rest::Tap(index) => Verdict::Redirect(TCA_EGRESS_REDIR, index),
        Rest::Drop => Verdict::Direct,
    };
    let rest = match filters.rest {
        Rest::Tap(_) => constant(u32::MAX),
        Rest::Drop => constant(TC_ACT_SHOT),
    };
    filter(socket, wan, EGRESS, SECOND, &rest, verdict)?;
    filter(socket, wan, EGRESS, FIRST, &filters.egress, Verdict::Pass)?;
    // Outside in: what the stack may have is named before the rest is dropped.
    filter(socket, wan, INGRESS, FIRST, &filters.ingress, Verdict::Pass)?;
    let drop_all = constant(TC_ACT_SHOT);
    filter(socket, wan, INGRESS, SECOND, &drop_all, Verdict::Direct)
}

/// Frames written to the TAP device appear as arrived on the WAN port from now on.
///
/// # Errors
/// Needs CAP_NET_ADMIN and a kernel with cls_bpf, act_mirred and clsact.
pub fn reenter(socket: &mut Socket, tap: u32, wan: u32) -> io::Result<()> {
    clsact(socket, tap)?;
    let verdict = Verdict::Redirect(TCA_INGRESS_REDIR, wan);
    filter(socket, tap, INGRESS, FIRST, &constant(u32::MAX), verdict)
}

/// Takes the filters of a WAN port away: it is open afterwards. Others' filters stay. Whether
/// there was anything of ours.
///
/// # Errors
/// Needs CAP_NET_ADMIN.
pub fn release(socket: &mut Socket, wan: u32) -> io::Result<bool> {
    let mut found = false;
    for (parent, preference) in PLACES {
        if owner(socket, wan, parent, preference)? == Owner::Us {
            socket.request(tc_message(
                libc::RTM_DELTFILTER,
                0,
                wan,
                parent,
                HANDLE,
                preference << 16 | u32::from(ETH_P_ALL.to_be()),
            ))?;
            found = true;
        }
    }
    if found && list(socket, wan, EGRESS)?.is_empty() && list(socket, wan, INGRESS)?.is_empty() {
        socket.request(tc_message(
            libc::RTM_DELQDISC,
            0,
            wan,
            CLSACT,
            CLSACT_HANDLE,
            0,
        ))?;
    }
    Ok(found)
}

/// Whether all filters of a WAN port are loaded, by this process or by one before it.
///
/// # Errors
/// The kernel refuses the list, for example because the port is gone.
pub fn is_loaded(socket: &mut Socket, wan: u32) -> io::Result<bool> {
    for (parent, preference) in PLACES {
        if owner(socket, wan, parent, preference)? != Owner::Us {
            return Ok(false);
        }
    }
    Ok(true)
}

#[derive(Copy, Clone)]
enum Verdict {
    /// A named frame passes: no later filter sees it.
    Pass,
    /// A named frame goes to a device, as mirred calls the way.
    Redirect(i32, u32),
    /// The program's value is the verdict.
    Direct,
}

fn tc_message(kind: u16, flags: i32, index: u32, parent: u32, handle: u32, info: u32) -> Message {
    let mut body = [0; TCMSG];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&handle.to_ne_bytes());
    body[12..16].copy_from_slice(&parent.to_ne_bytes());
    body[16..20].copy_from_slice(&info.to_ne_bytes());
    Message::new(kind, flags, &body)
}

fn clsact(socket: &mut Socket, index: u32) -> io::Result<()> {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let message = tc_message(libc::RTM_NEWQDISC, flags, index, CLSACT, CLSACT_HANDLE, 0)
        .with_text(TCA_KIND, "clsact");
    match socket.request(message) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn filter(
    socket: &mut Socket,
    index: u32,
    parent: u32,
    preference: u32,
    program: &[Instruction],
    verdict: Verdict,
) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut operations = Vec::with_capacity(8 * program.len());
    for one in program {
        operations.extend(one.code.to_ne_bytes());
        operations.extend([one.jt, one.jf]);
        operations.extend(one.k.to_ne_bytes());
    }
    let info = preference << 16 | u32::from(ETH_P_ALL.to_be());
    // CREATE without EXCL replaces what is there.
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    let message = tc_message(libc::RTM_NEWTFILTER, flags, index, parent, HANDLE, info)
        .with_text(TCA_KIND, "bpf")
        .nested(TCA_OPTIONS, |options| {
            let options = options
                .with_u32(TCA_BPF_CLASSID, OURS | preference)
                .with(TCA_BPF_OPS_LEN, &length.to_ne_bytes())
                .with(TCA_BPF_OPS, &operations);
            match verdict {
                Verdict::Pass => options,
                Verdict::Direct => options.with_u32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT),
                Verdict::Redirect(way, to) => redirect(options, way, to),
            }
        });
    socket.request(message)
}

/// `action mirred egress|ingress redirect dev TO`.
fn redirect(options: Message, way: i32, to: u32) -> Message {
    // struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex.
    let mut parameters = Vec::with_capacity(28);
    for number in [0, 0, TC_ACT_STOLEN, 0, 0, way] {
        parameters.extend(number.to_ne_bytes());
    }
    parameters.extend(to.to_ne_bytes());
    options.nested(TCA_BPF_ACT, |actions| {
        actions.nested(1, |action| {
            action
                .with_text(TCA_ACT_KIND, "mirred")
                .nested(TCA_ACT_OPTIONS, |own| {
                    own.with(TCA_MIRRED_PARMS, &parameters)
                })
        })
    })
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Us,
    Another,
}

fn list(socket: &mut Socket, index: u32, parent: u32) -> io::Result<Vec<Answer>> {
    match socket.dump(&tc_message(libc::RTM_GETTFILTER, 0, index, parent, 0, 0)) {
        // No clsact: then there are no filters.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Vec::new()),
        other => other,
    }
}

fn owner(socket: &mut Socket, index: u32, parent: u32, preference: u32) -> io::Result<Owner> {
    let mut owner = Owner::Nobody;
    for answer in list(socket, index, parent)? {
        let Some((fixed, attributes)) = answer.split(TCMSG) else {
            continue;
        };
        let word = |at: usize| {
            let octets = fixed
                .get(at..at + 4)
                .and_then(|octets| octets.try_into().ok());
            octets.map_or(0, u32::from_ne_bytes)
        };
        if word(16) >> 16 != preference {
            continue;
        }
        let class = attributes
            .find(TCA_OPTIONS)
            .and_then(|options| Attributes(options).find_u32(TCA_BPF_CLASSID));
        if class.is_some_and(|class| class == OURS | preference) {
            return Ok(Owner::Us);
        }
        // A line without options only names the preference.
        if word(8) != 0 {
            owner = Owner::Another;
        }
    }
    Ok(owner)
}

fn refuse_foreign(socket: &mut Socket, index: u32, parent: u32, preference: u32) -> io::Result<()> {
    if owner(socket, index, parent, preference)? != Owner::Another {
        return Ok(());
    }
    let hook = if parent == EGRESS {
        "egress"
    } else {
        "ingress"
    };
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!(
            "preference {preference} on {hook} is taken by another traffic control filter, and the \
             steering must come first: see `tc filter show dev ... {hook}` and move it"
        ),
    ))
}
