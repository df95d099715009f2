//! A window that looks on while a field is fitted; without the feature `viewer` there is never one.

use std::path::Path;
use std::sync::Arc;

use glam::DVec3;
use nstr::capture::View;
use nstr::field::model::Model;
use nstr::fit::{Observer, TrainState};
use nstr::render::Up;

/// Where a fit tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// The run that a window looks at.
    #[cfg(feature = "viewer")]
    pub training: Option<nstr::viewer::Training>,
}

/// Makes the model of a state.
type Look<'a> = &'a dyn Fn(&TrainState) -> anyhow::Result<Model>;

#[cfg(feature = "viewer")]
impl Live {
    /// Whether there is a window.
    pub fn is_watched(&self) -> bool {
        self.training.is_some()
    }

    /// Says what there is to see: its box, which axis is up, and the images that it is fitted to.
    pub fn begin(&self, bounds: (DVec3, DVec3), up: Up, views: &Arc<Vec<View>>) {
        if let Some(training) = &self.training {
            training.begin(nstr::viewer::training::Start { bounds, up, views: views.clone() });
        }
    }

    /// Runs `fit` with an observer that tells the window, beside `observer`; `look` makes the model of a state.
    pub fn watch<T>(
        &self,
        observer: &mut dyn Observer,
        output: &Path,
        look: Look<'_>,
        fit: impl FnOnce(&mut dyn Observer) -> T,
    ) -> T {
        let Some(training) = &self.training else { return fit(observer) };
        let build = |state: &TrainState| super::view::scene(output, Arc::new(look(state)?));
        fit(&mut training.watcher(observer, &build))
    }
}

#[cfg(not(feature = "viewer"))]
impl Live {
    /// Whether there is a window.
    pub fn is_watched(&self) -> bool {
        false
    }

    /// Nobody looks.
    pub fn begin(&self, _: (DVec3, DVec3), _: Up, _: &Arc<Vec<View>>) {}

    /// Runs `fit` with `observer`.
    pub fn watch<T>(
        &self,
        observer: &mut dyn Observer,
        _: &Path,
        _: Look<'_>,
        fit: impl FnOnce(&mut dyn Observer) -> T,
    ) -> T {
        fit(observer)
    }
}
