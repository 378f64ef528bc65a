//! Runbooks: reading and checking them, planning, and carrying them out.
