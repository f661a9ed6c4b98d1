//! Table by number. The numbers grow, so that a sorted list does, with a tenth of a tree's code.

#[derive(Debug)]
pub(crate) struct Table<T>(Vec<(u64, T)>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Table<T> {
    pub(crate) fn insert(&mut self, number: u64, value: T) {
        match self.place(number) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => self.0.insert(place, (number, value)),
        }
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.place(number).ok().map(|place| &self.0[place].1)
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        self.place(number).ok().map(|place| self.0.remove(place).1)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        self.0.iter_mut().map(|(number, value)| (*number, value))
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, number: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |(own, _)| *own)
    }
}
