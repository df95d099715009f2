//! Choice of a video's frames: the sharpest of each stretch of the camera's way.
//!
//! Stretches are equal in motion, not in time: where the camera stands still one frame says all, where it hurries there are more.

/// Motion in a video below which the camera counts as standing still, in widths of the picture.
const MIN_WAY: f64 = 0.05;
/// Least motion from one chosen frame to the next on average; fewer frames are taken instead.
const MIN_STEP: f64 = 0.01;
/// Motion from one chosen frame to the next from which on more frames would be safer.
const LONG_STEP: f64 = 0.25;
/// Part of the stretches that may have no sharp frame.
const MOST_BLURRED: f64 = 0.5;

/// A frame that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// Blur, 0 to 1.
    pub blur: f64,
    /// Motion since the beginning of the video, in widths of the picture; never falls.
    pub way: f64,
}

/// The choice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selection {
    /// Indices of the chosen candidates, ascending.
    pub chosen: Vec<usize>,
    /// Sentences on what is unusual.
    pub notes: Vec<String>,
}

/// Chooses up to `count` candidates whose blur is below `blur_limit`.
///
/// # Errors
/// A sentence with the remedy: too few frames, no motion, nothing sharp.
pub(crate) fn select(candidates: &[Candidate], count: usize, blur_limit: f64) -> Result<Selection, String> {
    let Some(last) = candidates.last() else { return Err("the video has no frames".into()) };
    let way = last.way;
    if way < MIN_WAY {
        return Err(format!(
            "the camera does not move (what it shows moves by {:.1} % of the picture in all): positions follow from how a scene \
             shifts; walk around it while filming",
            100.0 * way
        ));
    }
    let planned = count.min((way / MIN_STEP) as usize).min(candidates.len()).max(3);
    let mut best: Vec<Option<usize>> = vec![None; planned];
    let mut has_frames = vec![false; planned];
    for (i, candidate) in candidates.iter().enumerate() {
        let at = ((candidate.way / way * planned as f64) as usize).min(planned - 1);
        has_frames[at] = true;
        if candidate.blur < blur_limit && best[at].is_none_or(|j| candidate.blur < candidates[j].blur) {
            best[at] = Some(i);
        }
    }
    let mut selection = Selection { chosen: best.iter().copied().flatten().collect(), notes: Vec::new() };
    // A hurried camera passes through some in less time than from one frame to the next.
    let stretches = has_frames.iter().filter(|has| **has).count();
    let missing = stretches - selection.chosen.len();
    if selection.chosen.len() < 3 || missing as f64 > MOST_BLURRED * stretches as f64 {
        let mean = candidates.iter().map(|c| c.blur).sum::<f64>() / candidates.len() as f64;
        return Err(format!(
            "the video is blurred: {missing} of {stretches} stretches have no frame with a blur below {blur_limit} (the mean is \
             {mean:.2}); film slower, in more light or with a shorter exposure, or raise --blur-limit (1 takes all)"
        ));
    }
    if missing > 0 {
        selection.notes.push(format!("{missing} of {stretches} stretches have no sharp frame and are left out"));
    }
    if planned < count {
        selection.notes.push(format!("{planned} frames instead of {count}: the camera moves too little for more"));
    }
    let step = way / stretches as f64;
    if step > LONG_STEP {
        selection.notes.push(format!(
            "from one chosen frame to the next the picture moves by {:.0} % of its width; neighbours may overlap too little, more \
             --frames are safer",
            100.0 * step
        ));
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` candidates over a way of `total`, each third one sharp.
    fn walk(n: usize, total: f64) -> Vec<Candidate> {
        let at = |i: usize| total * i as f64 / (n - 1) as f64;
        (0..n).map(|i| Candidate { blur: if i % 3 == 1 { 0.3 } else { 0.5 }, way: at(i) }).collect()
    }

    #[test]
    fn the_sharpest_of_each_stretch_is_taken() {
        let chosen = select(&walk(60, 2.0), 20, 0.6).unwrap();
        assert_eq!((chosen.chosen.len(), chosen.notes.len()), (20, 0), "{:?}", chosen.notes);
        assert!(chosen.chosen.iter().all(|i| i % 3 == 1), "{:?}", chosen.chosen);
        assert!(chosen.chosen.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn standing_still_takes_one_frame() {
        let mut candidates = walk(60, 2.0);
        // Half of the video stands where the walk begins.
        let still = vec![Candidate { blur: 0.31, way: 0.0 }; 60];
        candidates.splice(0..0, still);
        let chosen = select(&candidates, 20, 0.6).unwrap().chosen;
        assert!(chosen.iter().filter(|i| **i < 60).count() <= 1, "{chosen:?}");
    }

    #[test]
    fn a_stretch_without_a_frame_is_not_blurred() {
        let mut candidates = walk(20, 1.0);
        candidates.extend(walk(20, 1.0).iter().map(|c| Candidate { way: c.way + 3.0, ..*c }));
        let selection = select(&candidates, 40, 0.6).unwrap();
        assert!(selection.chosen.len() < 40 && !selection.notes.iter().any(|n| n.contains("sharp")), "{selection:?}");
    }

    #[test]
    fn faults_say_which_and_what_to_do() {
        let said = select(&walk(60, 0.01), 20, 0.6).unwrap_err();
        assert!(said.contains("does not move (") && said.contains("1.0 %") && said.contains("walk around"), "{said}");
        let said = select(&walk(60, 2.0), 20, 0.2).unwrap_err();
        assert!(said.contains("blurred: 20 of 20") && said.contains("--blur-limit"), "{said}");
        assert!(select(&[], 20, 0.6).is_err());
    }

    #[test]
    fn unusual_walks_are_noted() {
        let notes = select(&walk(60, 0.1), 20, 0.6).unwrap().notes;
        assert!(notes[0].contains("10 frames instead of 20"), "{notes:?}");
        let notes = select(&walk(300, 30.0), 60, 0.6).unwrap().notes;
        assert!(notes[0].contains("50 % of its width"), "{notes:?}");
        let mut some = walk(60, 2.0);
        some[..10].iter_mut().for_each(|c| c.blur = 0.9);
        let selection = select(&some, 20, 0.6).unwrap();
        assert!(selection.notes[0].contains("no sharp frame") && selection.chosen[0] >= 10, "{selection:?}");
    }
}
