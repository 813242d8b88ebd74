eckart lora merge model style=0.5 -o merged
ls merged
