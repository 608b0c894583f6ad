//! ListDeadLetterSources tells whose dead letters a queue gets, a page at a time.

layout! {
    /// Asks for the queues whose `dead_letter_queue` is this one. Errors: `UnknownQueue`,
    /// `OutOfRange`.
    pub struct ListDeadLetterSources {
        /// The queue's name.
        pub name: String,
        /// Only names behind this one: the last name of the page before, or empty to begin.
        pub after: String,
        /// The most queues to list, from 1; the server may list fewer.
        pub max: u32,
    }
}

layout! {
    /// The answer to [`ListDeadLetterSources`].
    pub struct DeadLetterSourcesListed {
        /// The queues' names, in the order of their bytes.
        pub names: Vec<String>,
        /// Whether there are more behind the last.
        pub more: bool,
    }
}
