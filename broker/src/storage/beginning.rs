//! How a start begins a file of the log: at once, or when a full disk has room again.

use std::{io, sync::Arc};

use crate::storage::{
    LogError,
    disk::{Disk, DiskFile, is_passing, write_all_at},
    log_file::{FILE_HEADER_SIZE, FileHeader, log_name},
    log_writer::{name_file, write_padded},
    spares::{Spare, Spares},
};

/// What a new file begins with: its header, and a batch of what nobody proved, if there is any.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) header: FileHeader,
    pub(super) batch: Vec<u8>,
}

impl Beginning {
    /// The file, which is on stable storage, name and all. After an error nothing has changed.
    pub(super) fn write(
        &mut self,
        disk: &dyn Disk,
        spares: &mut Spares,
    ) -> Result<Arc<dyn DiskFile>, LogError> {
        let number = self.header.number;
        let spare = self.write_spare(disk, spares);
        let spare = spare.map_err(|error| LogError::io("write", &log_name(number), &error))?;
        match name_file(disk, &spare, number) {
            Ok(()) => Ok(spare.file),
            Err(error) => {
                spares.put_back(spare);
                Err(error)
            }
        }
    }

    /// When the disk is full the reserve makes room for it.
    fn write_spare(&mut self, disk: &dyn Disk, spares: &mut Spares) -> io::Result<Spare> {
        loop {
            let error = match spares.take(disk) {
                Ok(spare) => match self.write_to(spare.file.as_ref()) {
                    Ok(()) => return Ok(spare),
                    Err(error) => {
                        spares.put_back(spare);
                        error
                    }
                },
                Err(error) => error,
            };
            if !is_passing(&error) || !spares.give_up_reserve(disk) {
                return Err(error);
            }
        }
    }

    fn write_to(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        write_all_at(file, &self.header.encode(), 0)?;
        write_padded(file, &mut self.batch, FILE_HEADER_SIZE)
    }
}
