//! Steered WAN ports: makes the box's plans true in the kernel and hands the ends of each port to
//! the forwarder.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use netio::link::{self, Interface};
use netio::netlink::Socket;
use netio::packet::{FilterHandle, PacketRx, PacketTx};
use netio::steer::{self, Filters, Rest};
use netio::tap::{self, Tap};
use policy::steer::{Plan, Reentry};

use crate::forward::{Forwarder, Port};

/// The steered ports.
pub(crate) struct Ports {
    netlink: Socket,
    reentry: Reentry,
    wanted: Option<Vec<Plan>>,
    steered: BTreeMap<String, Steered>,
    /// Whether ports that a process before this one left steered were looked for.
    adopted: bool,
}

struct Steered {
    plan: Plan,
    wan: u32,
    tap: u32,
    filter: FilterHandle,
}

impl Ports {
    /// No port yet.
    ///
    /// # Errors
    /// There is no netlink or no randomness.
    pub(crate) fn new() -> Result<Self> {
        let mut random = [0; 12];
        getrandom::fill(&mut random).map_err(|error| anyhow!("no randomness: {error}"))?;
        Ok(Self {
            netlink: Socket::open().context("cannot speak to the kernel by netlink")?,
            reentry: Reentry::from_random(random),
            wanted: None,
            steered: BTreeMap::new(),
            adopted: false,
        })
    }

    /// Steers the ports of these plans and no others.
    ///
    /// # Errors
    /// What the kernel refused first, with the port's name. Ports that could be steered are; one
    /// that could not is as closed as it was before.
    pub(crate) fn steer(&mut self, plans: Vec<Plan>, forwarder: &mut Forwarder) -> Result<()> {
        self.wanted = Some(plans);
        self.refresh(forwarder)
    }

    /// Makes the plans true again after something changed in the kernel: a device that was made
    /// anew under its name has no filters, and somebody may have taken a port's filters away.
    ///
    /// # Errors
    /// As for [`Self::steer`].
    pub(crate) fn refresh(&mut self, forwarder: &mut Forwarder) -> Result<()> {
        // What an earlier run left is not touched before it is known what is wanted.
        let Some(plans) = self.wanted.clone() else {
            return Ok(());
        };
        let interfaces = link::interfaces(&mut self.netlink).context("cannot list interfaces")?;
        let mut first_error = None;
        let mut note = |result: Result<()>, device: &str| {
            if let Err(error) = result {
                let say = || error.context(format!("cannot steer {device}"));
                first_error.get_or_insert_with(say);
            }
        };
        let leaving: Vec<String> = self
            .steered
            .keys()
            .filter(|own| plans.iter().all(|plan| plan.device != **own))
            .cloned()
            .collect();
        for device in leaving {
            let renamed = self.steered.get(&device).is_some_and(|own| {
                let is_it = |one: &Interface| one.index == own.wan && one.name != device;
                interfaces.iter().any(is_it)
            });
            // Its crypto map is not gone, only its name: it stays closed.
            let left = if renamed {
                self.steered.remove(&device);
                forwarder.leave(&device)
            } else {
                self.release(&device, forwarder)
            };
            note(left, &device);
        }
        if !self.adopted {
            self.adopted = true;
            for interface in &interfaces {
                if plans.iter().all(|plan| plan.device != interface.name) {
                    let released = steer::release(&mut self.netlink, interface.index);
                    note(released.map(drop).map_err(Into::into), &interface.name);
                }
            }
        }
        for plan in plans {
            let device = plan.device.clone();
            let interface = interfaces.iter().find(|one| one.name == device);
            let result = match interface {
                Some(interface) => self.apply(plan, interface, forwarder),
                None => Err(anyhow!("there is no such device")),
            };
            note(result, &device);
        }
        first_error.map_or(Ok(()), Err)
    }

    fn apply(&mut self, plan: Plan, wan: &Interface, forwarder: &mut Forwarder) -> Result<()> {
        match self.steered.get_mut(&plan.device) {
            Some(own) if own.wan == wan.index && own.plan.interface == plan.interface => {
                if own.plan == plan && steer::is_loaded(&mut self.netlink, wan.index)? {
                    return Ok(());
                }
                // The socket first: what the stack loses must have somebody who takes it.
                own.filter
                    .replace(&policy::steer::socket(&plan, &self.reentry))?;
                let filters = filters(&plan, &self.reentry, Rest::Tap(own.tap));
                steer::load(&mut self.netlink, wan.index, &filters)?;
                own.plan = plan;
                Ok(())
            }
            Some(_) => {
                // The device was made anew under its old name, or is called differently now.
                self.steered.remove(&plan.device);
                forwarder.leave(&plan.device)?;
                self.set_up(plan, wan, forwarder)
            }
            None => self.set_up(plan, wan, forwarder),
        }
    }

    fn set_up(&mut self, plan: Plan, wan: &Interface, forwarder: &mut Forwarder) -> Result<()> {
        let device = &plan.device;
        let tap = Tap::create(device, wan.mtu, self.reentry)
            .with_context(|| format!("cannot make the TAP device {}", tap::name(device)))?;
        steer::reenter(&mut self.netlink, tap.index(), wan.index)
            .context("cannot load the filter of the TAP device")?;
        let from_wire = PacketRx::open(wan.index, &policy::steer::socket(&plan, &self.reentry))
            .context("cannot open the packet socket")?;
        let to_wire = PacketTx::open(wan.index).context("cannot open the packet socket")?;
        let filters = filters(&plan, &self.reentry, Rest::Tap(tap.index()));
        steer::load(&mut self.netlink, wan.index, &filters)
            .context("cannot load the traffic control filters")?;
        let steered = Steered {
            wan: wan.index,
            tap: tap.index(),
            filter: from_wire.filter()?,
            plan: plan.clone(),
        };
        let to_stack = tap.writer()?;
        forwarder.take(Port {
            device: plan.device.clone(),
            interface: plan.interface,
            from_stack: Box::new(tap),
            to_stack: Box::new(to_stack),
            from_wire: Box::new(from_wire),
            to_wire: Box::new(to_wire),
        });
        self.steered.insert(plan.device, steered);
        Ok(())
    }

    /// The port forwards in clear from now on: its crypto map is gone.
    fn release(&mut self, device: &str, forwarder: &mut Forwarder) -> Result<()> {
        let Some(own) = self.steered.remove(device) else {
            return Ok(());
        };
        let released = match steer::release(&mut self.netlink, own.wan) {
            // The device is gone and its filters with it.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            other => other.map(drop).map_err(Into::into),
        };
        forwarder.leave(device)?;
        released
    }
}

fn filters(plan: &Plan, reentry: &Reentry, rest: Rest) -> Filters {
    Filters {
        egress: policy::steer::egress(plan),
        ingress: policy::steer::ingress(plan, reentry),
        rest,
    }
}

/// Closes a port without a forwarder, unless it is steered already. Whether it was open.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn close(netlink: &mut Socket, wan: u32, plan: &Plan) -> Result<bool> {
    if steer::is_loaded(netlink, wan)? {
        return Ok(false);
    }
    // Nothing will ever re-enter under these addresses: nobody else has drawn them.
    let mut random = [0; 12];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no randomness: {error}"))?;
    let filters = filters(plan, &Reentry::from_random(random), Rest::Drop);
    steer::load(netlink, wan, &filters)?;
    Ok(true)
}
