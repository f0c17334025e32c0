//! Nothing is lost under faults of real processes, disks and networks.

mod calls;
mod campaigns;
mod processes;
mod state;
