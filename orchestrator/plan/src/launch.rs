//! Launch parameters that follow from the world; the provisioner adds the link, the join token and chosen ports.
//!
//! This file refuses to know secrets.
