eckart lora merge model adapter=0.5 -o merged
ls merged
