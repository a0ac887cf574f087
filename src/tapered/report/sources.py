"""Whose rules, schedules and statistics a study used: what to cite."""

import re

from tapered.study.result import StudyResult

RULES = {
    "SGD": "H. Robbins, S. Monro, A Stochastic Approximation Method, 1951; with momentum, I. Sutskever et al., "
    "On the importance of initialization and momentum in deep learning, ICML 2013",
    "Adam": "D. P. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, arXiv:1412.6980",
    "AMSGrad": "S. J. Reddi, S. Kale, S. Kumar, On the Convergence of Adam and Beyond, ICLR 2018, arXiv:1904.09237",
    "AdamW": "I. Loshchilov, F. Hutter, Decoupled Weight Decay Regularization, ICLR 2019, arXiv:1711.05101",
    "NAdam": "T. Dozat, Incorporating Nesterov Momentum into Adam, ICLR workshop 2016",
    "RAdam": "L. Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, ICLR 2020, arXiv:1908.03265",
    "Adamax": "D. P. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, section 7.1",
    "RMSprop": "T. Tieleman, G. Hinton, Lecture 6.5: RMSprop, Neural Networks for Machine Learning, 2012",
    "Adagrad": "J. Duchi, E. Hazan, Y. Singer, Adaptive Subgradient Methods for Online Learning, JMLR 12, 2011",
    "Adadelta": "M. D. Zeiler, ADADELTA: An Adaptive Learning Rate Method, 2012, arXiv:1212.5701",
    "Lion": "X. Chen et al., Symbolic Discovery of Optimization Algorithms, NeurIPS 2023, arXiv:2302.06675",
    "ScheduleFreeAdamW": "A. Defazio et al., The Road Less Scheduled, NeurIPS 2024, arXiv:2405.15682",
}
_SGDR = "I. Loshchilov, F. Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017, arXiv:1608.03983"
_TF = "M. Abadi et al., TensorFlow: A System for Large-Scale Machine Learning, OSDI 2016 (tf.train's decays)"
_SEARCH = "I. Bello et al., Neural Optimizer Search with Reinforcement Learning, ICML 2017, arXiv:1709.07417"
_COOLDOWN = (
    "A. Hägele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations, NeurIPS 2024, "
    "arXiv:2405.18392"
)
_UNTUNED = "J. Ma, D. Yarats, On the adequacy of untuned warmup for adaptive optimization, AAAI 2021, arXiv:1910.04209"
SCHEDULES = {
    "warmup": "P. Goyal et al., Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 2017, arXiv:1706.02677",
    "linear": "A. Defazio et al., Optimal Linear Decay Learning Rate Schedules and Further Refinements, 2023, "
    "arXiv:2310.07831",
    "cooldown": _COOLDOWN,
    "exponential_decay": _TF,
    "natural_exp_decay": _TF,
    "inverse_time_decay": _TF,
    "polynomial_decay": _TF,
    "piecewise_constant": _TF,
    "inverse_sqrt": "A. Vaswani et al., Attention Is All You Need, NeurIPS 2017, arXiv:1706.03762",
    "cosine_decay": _SGDR,
    "cosine_decay_restarts": _SGDR,
    "linear_cosine_decay": _SEARCH,
    "noisy_linear_cosine_decay": _SEARCH,
    "cyclic": "L. N. Smith, Cyclical Learning Rates for Training Neural Networks, WACV 2017, arXiv:1506.01186",
    "one_cycle": "L. N. Smith, N. Topin, Super-Convergence, 2019, arXiv:1708.07120",
    "warmup_stable_decay": "S. Hu et al., MiniCPM, COLM 2024, arXiv:2404.06395",
    "rex_decay": "J. Chen, C. Wolfe, A. Kyrillidis, REX: Revisiting Budgeted Training with an Improved Schedule, MLSys "
    "2022, arXiv:2107.04197",
    "untuned_linear_warmup": _UNTUNED,
    "untuned_exponential_warmup": _UNTUNED,
}
STATISTICS = {
    "sign-flip test": "R. A. Fisher, The Design of Experiments, 1935",
    "correction": "S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Statist. 6, 1979",
    "bootstrap-t": "B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993",
    "win rate": "C. J. Clopper, E. S. Pearson, The Use of Confidence or Fiducial Limits, Biometrika 26, 1934",
}


def used(result: StudyResult) -> list[tuple[str, str]]:
    """(what, source) of the rules, schedules and tests of a study, each once, in the order of their first use."""
    found: dict[str, str] = {}
    for arm in result.arms:
        found |= {arm.rule: RULES[arm.rule]} if arm.rule in RULES else {}
        found |= {name: SCHEDULES[name] for name in re.findall(r"\w+", arm.lr) if name in SCHEDULES}
    tests = dict(STATISTICS) if result.comparisons else {}
    if len(result.comparisons) < 2:
        tests.pop("correction", None)
    return list((found | tests).items())
