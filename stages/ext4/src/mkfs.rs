//! The `mkfs` engine: the e2fsprogs program instead of our own writer.
