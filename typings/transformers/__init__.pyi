# The names of transformers that we use, from the modules that define them. Its own `__init__` imports all of its three
# thousand files, and binding them was a fifth of the time that checking types takes. Types are the real ones; a name that
# is missing here is reported, and added.
from transformers.models.albert.configuration_albert import AlbertConfig as AlbertConfig
from transformers.models.albert.modeling_albert import AlbertForMaskedLM as AlbertForMaskedLM
from transformers.models.auto.configuration_auto import AutoConfig as AutoConfig
from transformers.models.auto.modeling_auto import (
    AutoModel as AutoModel,
)
from transformers.models.auto.modeling_auto import (
    AutoModelForCausalLM as AutoModelForCausalLM,
)
from transformers.models.auto.modeling_auto import (
    AutoModelForImageTextToText as AutoModelForImageTextToText,
)
from transformers.models.auto.tokenization_auto import AutoTokenizer as AutoTokenizer
from transformers.models.bert.configuration_bert import BertConfig as BertConfig
from transformers.models.bert.modeling_bert import BertForMaskedLM as BertForMaskedLM
from transformers.models.gemma3.configuration_gemma3 import (
    Gemma3Config as Gemma3Config,
)
from transformers.models.gemma3.configuration_gemma3 import (
    Gemma3TextConfig as Gemma3TextConfig,
)
from transformers.models.gpt2.configuration_gpt2 import GPT2Config as GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel as GPT2LMHeadModel
from transformers.models.gpt_neox.configuration_gpt_neox import GPTNeoXConfig as GPTNeoXConfig
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXForCausalLM as GPTNeoXForCausalLM
from transformers.models.llama.configuration_llama import LlamaConfig as LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM as LlamaForCausalLM
from transformers.models.opt.configuration_opt import OPTConfig as OPTConfig
from transformers.models.opt.modeling_opt import OPTForCausalLM as OPTForCausalLM
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast as PreTrainedTokenizerFast
