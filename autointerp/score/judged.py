"""Builds the scorers whose questions a judge answers, by the protocol chosen."""

from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.score.classify import Classifier, Detection, Fuzzing
from autointerp.score.delphi import BATCH, DelphiDetection, DelphiFuzzing
from autointerp.score.judges.base import Judge
from autointerp.score.judges.llm import LLMJudge
from autointerp.score.options import ScoreOptions
from autointerp.score.resources import Resources


def build(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> Classifier:
    """Detection or fuzzing. Raises UserError."""
    delphi = options.protocol == "delphi"
    judge: Judge
    if options.judge == "offline":
        judge = resources.offline_judge(options.window)
    else:
        assert client is not None
        batch = BATCH if delphi else options.batch
        judge = LLMJudge(client, batch=batch, graded=options.graded, cancel=cancel)
    if options.scorer == "detection":
        return (DelphiDetection if delphi else Detection)(judge, resamples=resources.resamples)
    if delphi:
        return DelphiFuzzing(judge, resamples=resources.resamples)
    return Fuzzing(judge, wrong_marks=options.wrong_marks, resamples=resources.resamples)
