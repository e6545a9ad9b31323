"""The floor of part h: what one would write with TRL alone.

`python -m tests.bench.plain_trl BASE ROWS HELD_OUT FOLDER STEPS`. The same rows, numbers and libraries as retraining's
own process, and as many looks at the rows held out; no checks, no seals, no registry.
"""

import sys

from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer


def main(base: str, rows: str, held_out: str, folder: str, steps: int) -> None:
    """Trains, and leaves the adapter in the folder."""
    trainer = DPOTrainer(
        AutoModelForCausalLM.from_pretrained(base, dtype="float32"),
        args=DPOConfig(
            output_dir=folder,
            seed=7,
            learning_rate=1e-4,
            max_steps=steps,
            per_device_train_batch_size=2,
            lr_scheduler_type="cosine",
            max_length=128,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            dataloader_pin_memory=False,
            save_steps=steps // 2,
            eval_strategy="steps",
            eval_steps=steps // 2,
            per_device_eval_batch_size=2,
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=load_dataset("json", data_files=rows, split="train", cache_dir=f"{folder}/arrow"),
        eval_dataset=load_dataset("json", data_files=held_out, split="train", cache_dir=f"{folder}/arrow"),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"),
    )
    trainer.train()
    trainer.save_model(folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
