//! Files ready to be used again, and new ones made before they are needed: writing into a file whose blocks
//! are there already is what makes a sync cheap.
//!
//! One of them is the reserve: it is given up when the disk is full, so that there is room to write down what makes
//! other files free, acks above all.

use std::{collections::VecDeque, io, sync::Arc};

use crate::storage::{
    disk::{Disk, DiskFile, write_all_at},
    log_file::spare_name,
};

/// Zeros written in one step: little enough to keep nobody waiting.
const FILL_STEP: usize = 256 << 10;

/// The spare files of a log.
#[derive(Debug)]
pub(super) struct Spares {
    /// Of full size.
    ready: VecDeque<u64>,
    /// Being filled up, and how far.
    filling: Option<Filling>,
    /// Taken and not used after all: the next to be taken.
    returned: Option<Spare>,
    /// Spares have numbers of their own.
    next_number: u64,
    file_size: u64,
    max: usize,
    /// A spare could not be made: no other try before one is taken.
    has_failed: bool,
}

/// A file taken from the spares, under its old name.
#[derive(Debug)]
pub(super) struct Spare {
    number: u64,
    pub(super) file: Arc<dyn DiskFile>,
}

#[derive(Debug)]
struct Filling {
    spare: Spare,
    size: u64,
}

impl Spare {
    pub(super) fn name(&self) -> String {
        spare_name(self.number)
    }
}

impl Spares {
    /// Goes on with those that are there; one of another size is removed.
    pub(super) fn open(disk: &dyn Disk, numbers: &[u64], file_size: u64, max: usize) -> io::Result<Self> {
        let next_number = numbers.iter().max().map_or(1, |newest| newest + 1);
        let ready = VecDeque::new();
        let mut spares =
            Self { ready, filling: None, returned: None, next_number, file_size, max, has_failed: false };
        for &number in numbers {
            let name = spare_name(number);
            if spares.ready.len() < max && disk.open(&name)?.len()? == file_size {
                spares.ready.push_back(number);
            } else {
                disk.remove(&name)?;
            }
        }
        Ok(spares)
    }

    /// A file to begin: one that is ready, or else a new one.
    pub(super) fn take(&mut self, disk: &dyn Disk) -> io::Result<Spare> {
        self.has_failed = false;
        if let Some(spare) = self.returned.take() {
            return Ok(spare);
        }
        if self.ready.len() > self.reserve()
            && let Some(&number) = self.ready.front()
        {
            let file = disk.open(&spare_name(number))?;
            self.ready.pop_front();
            return Ok(Spare { number, file });
        }
        // What is to be the reserve is left alone, or there would be none as long as there is much to write.
        let has_reserve = self.has_reserve();
        match self.filling.take_if(|_| has_reserve) {
            Some(filling) => Ok(filling.spare),
            None => self.create(disk),
        }
    }

    /// A spare that could not be used after all.
    pub(super) fn put_back(&mut self, spare: Spare) {
        self.returned = Some(spare);
    }

    /// Keeps a file that is not needed any more, or removes it if there are enough.
    pub(super) fn keep(&mut self, disk: &dyn Disk, name: &str) -> io::Result<()> {
        let file = disk.open(name)?;
        if self.ready.len() >= self.max || file.len()? != self.file_size {
            return disk.remove(name);
        }
        if disk.rename(name, &spare_name(self.next_number)).is_err() {
            return disk.remove(name);
        }
        self.ready.push_back(self.next_number);
        self.next_number += 1;
        Ok(())
    }

    /// Gives the reserve up, so that as much can be written elsewhere; false if there is none.
    pub(super) fn give_up_reserve(&mut self, disk: &dyn Disk) -> bool {
        let number = self.ready.pop_front();
        number.is_some_and(|number| disk.remove(&spare_name(number)).is_ok())
    }

    /// Whether the reserve is there, if there is to be one.
    pub(super) fn has_reserve(&self) -> bool {
        self.ready.len() >= self.reserve()
    }

    /// The disk may have room again.
    pub(super) fn try_again(&mut self) {
        self.has_failed = false;
    }

    /// Does a little to have a spare ready besides the reserve; false when there is nothing to do. A disk that has
    /// no room for one is no failure.
    pub(super) fn fill_some(&mut self, disk: &dyn Disk) -> bool {
        if self.ready.len() >= self.max.min(1 + self.reserve()) || self.has_failed {
            return false;
        }
        if self.filling.is_none() && disk.free_bytes().is_ok_and(|free| free < self.file_size) {
            // Not even for a moment is that room taken from what is written now.
            self.has_failed = true;
            return false;
        }
        if self.try_fill(disk).is_err() {
            self.has_failed = true;
            if let Some(filling) = self.filling.take() {
                // What cannot be removed is removed, or used, after the next start.
                disk.remove(&filling.spare.name()).ok();
            }
        }
        true
    }

    fn try_fill(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let Some(filling) = &mut self.filling else {
            let spare = self.create(disk)?;
            self.filling = Some(Filling { spare, size: 0 });
            return Ok(());
        };
        let step = (self.file_size - filling.size).min(FILL_STEP as u64);
        write_all_at(filling.spare.file.as_ref(), &vec![0; step as usize], filling.size)?;
        filling.size += step;
        if filling.size == self.file_size {
            filling.spare.file.sync_data()?;
            self.ready.push_back(filling.spare.number);
            self.filling = None;
        }
        Ok(())
    }

    /// How many spares are only given up.
    fn reserve(&self) -> usize {
        usize::from(self.max > 1)
    }

    fn create(&mut self, disk: &dyn Disk) -> io::Result<Spare> {
        let number = self.next_number;
        let file = disk.create(&spare_name(number))?;
        self.next_number += 1;
        Ok(Spare { number, file })
    }
}
