//! Share of the computer that painting takes while a fit runs.
//!
//! Painting earns core-seconds as time passes, at the stated share of all cores, and spends them. It waits while it owes any,
//! but for a user who is moving the camera, whose pictures may borrow two seconds' earnings.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Share of the cores that painting takes unless the user chooses another.
pub(crate) const DEFAULT_SHARE: f64 = 0.15;
/// Least and greatest share.
pub(crate) const SHARES: (f64, f64) = (0.01, 1.0);
/// Seconds whose earnings can be saved up.
const SAVED_SECONDS: f64 = 0.5;
/// Seconds whose earnings can be borrowed.
const BORROWED_SECONDS: f64 = 2.0;
/// Longest wait before the budget is looked at again.
const MAX_WAIT: Duration = Duration::from_millis(50);

/// Account of core-seconds; times are in seconds since any one moment.
#[derive(Clone, Copy, Debug)]
struct Account {
    share: f64,
    cores: f64,
    credit: f64,
    /// Time up to which the credit is counted; `None` while training does not run.
    counted: Option<f64>,
    /// Seconds that training has run.
    running: f64,
    /// Core-seconds that painting took of them.
    spent: f64,
}

impl Account {
    fn new(cores: f64) -> Self {
        Self { share: DEFAULT_SHARE, cores, credit: 0.0, counted: None, running: 0.0, spent: 0.0 }
    }

    fn rate(&self) -> f64 {
        self.share * self.cores
    }

    fn count(&mut self, now: f64) {
        let Some(counted) = self.counted else { return };
        let passed = (now - counted).max(0.0);
        self.running += passed;
        self.credit = (self.credit + passed * self.rate()).min(SAVED_SECONDS * self.rate());
        self.counted = Some(now);
    }

    fn set_running(&mut self, now: f64, runs: bool) {
        self.count(now);
        self.counted = runs.then_some(now);
    }

    fn spend(&mut self, now: f64, core_seconds: f64) {
        self.count(now);
        if self.counted.is_some() {
            self.spent += core_seconds;
            self.credit -= core_seconds;
        }
    }

    /// Seconds until painting may go on; `urgent` painting may borrow.
    fn wait(&mut self, now: f64, urgent: bool) -> f64 {
        self.count(now);
        let least = if urgent { -BORROWED_SECONDS * self.rate() } else { 0.0 };
        match self.counted {
            Some(_) => ((least - self.credit) / self.rate()).max(0.0),
            None => 0.0,
        }
    }

    fn taken(&self) -> f64 {
        self.spent / (self.running * self.cores).max(1e-9)
    }
}

/// Budget that the window and its painter share.
#[derive(Debug)]
pub(crate) struct PaintBudget {
    account: Mutex<Account>,
    origin: Instant,
    cores: usize,
}

impl Default for PaintBudget {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self { account: Mutex::new(Account::new(cores as f64)), origin: Instant::now(), cores }
    }
}

impl PaintBudget {
    fn account(&self) -> MutexGuard<'_, Account> {
        // Every change leaves valid numbers.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> f64 {
        self.origin.elapsed().as_secs_f64()
    }

    /// Threads that paint while training runs: one fewer than there are cores, at least one.
    pub fn threads(&self) -> usize {
        (self.cores - 1).max(1)
    }

    /// Cores of the computer.
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// Counts from now on, or until further notice no more.
    pub fn set_running(&self, runs: bool) {
        let now = self.now();
        self.account().set_running(now, runs);
    }

    /// Sets the share, 0 to 1.
    pub fn set_share(&self, share: f64) {
        let now = self.now();
        let mut account = self.account();
        account.count(now);
        account.share = share.clamp(SHARES.0, SHARES.1);
    }

    /// The share that is set, 0 to 1.
    pub fn share(&self) -> f64 {
        self.account().share
    }

    /// Share that painting has taken of the time that training ran, 0 to 1; threads count as busy while they paint.
    pub fn taken(&self) -> f64 {
        let now = self.now();
        let mut account = self.account();
        account.count(now);
        account.taken()
    }

    /// Notes that so many threads painted for so long.
    pub fn spend(&self, threads: usize, time: Duration) {
        let now = self.now();
        self.account().spend(now, threads as f64 * time.as_secs_f64());
    }

    /// Time to wait before painting may go on, at most a few hundredths of a second; none if it may. `urgent` painting follows a
    /// user's hand and may borrow.
    pub fn wait(&self, urgent: bool) -> Option<Duration> {
        let now = self.now();
        let seconds = self.account().wait(now, urgent);
        (seconds > 0.0).then(|| Duration::from_secs_f64(seconds.max(1e-3)).min(MAX_WAIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paints pictures of `cost` core-seconds on one thread, as often as the account allows, for `seconds`; returns the share.
    fn paint(account: &mut Account, cost: f64, seconds: f64, urgent: bool) -> f64 {
        let mut now = 0.0;
        account.set_running(now, true);
        while now < seconds {
            now += account.wait(now, urgent);
            now += cost;
            account.spend(now, cost);
        }
        account.count(now);
        account.taken()
    }

    #[test]
    fn painting_keeps_its_share_whatever_a_picture_costs() {
        for cores in [1.0, 2.0, 16.0] {
            for cost in [0.001, 0.05, 0.4] {
                for share in [0.05, 0.15, 0.5] {
                    let mut account = Account { share, ..Account::new(cores) };
                    let taken = paint(&mut account, cost, 60.0, false);
                    // One thread cannot take more than it has.
                    let expected = share.min(1.0 / cores);
                    assert!(
                        (taken - expected).abs() < 0.02 * expected + 0.01 / cores,
                        "{taken} {expected} {cores} {cost}"
                    );
                }
            }
        }
    }

    #[test]
    fn borrowed_time_is_paid_back() {
        let mut account = Account::new(2.0);
        let moving = paint(&mut account, 0.05, 1.0, true);
        assert!(moving > 2.0 * DEFAULT_SHARE, "{moving}");
        // At rest nothing is painted until all is paid back, at most as long as was borrowed.
        let (at, wait) = (1.05, account.wait(1.05, false));
        assert!(wait > 1.0 && wait <= BORROWED_SECONDS + 0.5, "{wait}");
        account.count(at + wait);
        assert!((account.taken() - DEFAULT_SHARE).abs() < 0.02, "{}", account.taken());
    }

    #[test]
    fn savings_are_limited_and_pauses_are_free() {
        let mut account = Account::new(2.0);
        account.set_running(0.0, true);
        account.count(100.0);
        assert!(account.credit <= SAVED_SECONDS * account.rate() + 1e-12);
        account.set_running(100.0, false);
        account.spend(150.0, 80.0);
        assert_eq!((account.wait(160.0, false), account.spent, account.running), (0.0, 0.0, 100.0));
    }
}
